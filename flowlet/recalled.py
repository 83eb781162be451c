"""A definition as the database remembers it: enough to draw and to describe it, where its module is not loaded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from flowlet.definition import Definition, StateDefinition, TransitionDefinition
from flowlet.durations import Duration
from flowlet.retry import Retry
from flowlet.states import Kind

__all__ = ["recalled"]


def recalled(told: Mapping[str, Any]) -> Definition:
    """Return the definition that ``Definition.as_json`` has told.

    It has no handlers, no models and no source: nothing can be run by it, and nothing checked.

    Args:
        told: As it was read from JSON.
    """
    return Definition(
        name=told["name"],
        description=told["description"],
        version=told["version"],
        module="",
        file="",
        line=0,
        start=told["start"],
        states={state["name"]: _state(state) for state in told["states"]},
        retry=_retry(told["retry"]),
        group=told["executorGroup"],
        priority=told["priority"],
        loop_limit=told["loopLimit"],
        vars=None,
        names={},
    )


def _state(told: Mapping[str, Any]) -> StateDefinition:
    return StateDefinition(
        name=told["name"],
        kind=Kind(told["kind"]),
        description=told["description"],
        file="",
        line=told["line"],
        transitions=tuple(TransitionDefinition(edge["target"], edge["label"]) for edge in told["transitions"]),
        retry=_retry(told["retry"]),
        timeout=_length(told["timeoutSeconds"]),
        on_error=told["onError"],
        form=None,
        deadline=_length(told["deadlineSeconds"]),
        on_deadline=told["onDeadline"],
        handler=None,
        is_async=False,
        parameters=(),
    )


def _retry(told: Mapping[str, Any]) -> Retry:
    return Retry(told["limit"], _bound(told["min"]), _bound(told["max"]), told["backoff"])


def _bound(text: str) -> Duration:
    """Return a bound, which stands there as its module wrote it, or in seconds as Python writes any number of them."""
    try:
        return timedelta(seconds=float(text.removesuffix("s")))
    except (ValueError, OverflowError):
        return text


def _length(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
