"""The events that an executor reports while it works, for metrics."""

from __future__ import annotations

from typing import Protocol

from flowlet.instance.transition import Transition

__all__ = ["ExecutorObserver"]


class ExecutorObserver(Protocol):
    """Is notified of every claim, batch and transition, on the event loop: it must be quick, and must not raise.

    Without an observer nothing is timed and nothing is counted.
    """

    def on_claim(self, instance_count: int, seconds: float) -> None:
        """Record that a claim returned so many instances, and how long the store took."""
        ...

    def on_batch(self, size: int, seconds: float) -> None:
        """Record that a batch of so many transitions is durable, and how long the store took."""
        ...

    def on_transition(self, transition: Transition) -> None:
        """Record a transition that is durable; failed attempts make one, too."""
        ...
