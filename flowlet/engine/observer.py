"""What an executor reports while it works: its events to an observer, for metrics, and its transitions to the log."""

from __future__ import annotations

import logging
from typing import Protocol

from flowlet.instance.action import Action, ActionKind
from flowlet.instance.instance import Status
from flowlet.instance.transition import Transition
from flowlet.log_setup import log_with_traceback

__all__ = ["ExecutorObserver", "log_transition"]

logger = logging.getLogger(__name__)
_FAILED = Status.FAILED  # each transition reads it, which is slow from an enum


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

    def on_fire(self, type: str, seconds: float) -> None:
        """Record that a schedule of a workflow has created an instance, and how long after it was due."""
        ...


def log_transition(transition: Transition) -> None:
    """Log a durable transition: a failed attempt as a warning, FAILED as an error, the entry of a state at DEBUG.

    A warning has the traceback that is in the history.
    """
    if transition.attempt or len(transition.actions) > 1:
        for action in transition.actions:
            if action.kind is ActionKind.ERROR:
                _log_failed_attempt(transition, action)
    instance = transition.instance
    if transition.status is _FAILED:
        logger.error(
            "workflow %d (%s) is FAILED in state %r: %s",
            instance.id,
            instance.type,
            transition.state,
            transition.reason,
        )
    elif logger.isEnabledFor(logging.DEBUG):
        logger.debug(
            "workflow %d (%s): %s in %r -> %s in %r",
            instance.id,
            instance.type,
            instance.status,
            instance.state,
            transition.status,
            transition.state,
        )


def _log_failed_attempt(transition: Transition, action: Action) -> None:
    instance = transition.instance
    log_with_traceback(
        logger,
        logging.WARNING,
        action.detail and action.detail.rstrip(),
        "attempt %d of state %r of workflow %d (%s) failed: %s",
        action.attempt,
        action.from_state,
        instance.id,
        instance.type,
        action.text,
    )
