"""What an executor tells about itself while it works, where somebody measures."""

from __future__ import annotations

from typing import Protocol

from flowlet.instance.transition import Transition

__all__ = ["ExecutorObserver"]


class ExecutorObserver(Protocol):
    """Hears of every claim, batch and transition, on the event loop: it must be quick, and must not raise.

    Where there is none, nothing is timed and nothing is counted.
    """

    def on_claim(self, instance_count: int, seconds: float) -> None:
        """Hear that a claim gave so many instances, and how long the store took."""
        ...

    def on_batch(self, size: int, seconds: float) -> None:
        """Hear that a batch of so many transitions is durable, and how long the store took."""
        ...

    def on_transition(self, transition: Transition) -> None:
        """Hear of a transition that is durable: one that failed attempts make, too."""
        ...
