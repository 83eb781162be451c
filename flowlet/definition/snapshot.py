"""A definition restored from the database: enough to draw and describe it when its module is not loaded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from flowlet.clock import Duration
from flowlet.definition.definition import Definition, StateDefinition, TransitionDefinition
from flowlet.definition.limits.limit_policy import LimitPolicy, restore_limit_policy
from flowlet.definition.messages.message_definition import MessageDefinition
from flowlet.definition.people.question_definition import QuestionDefinition
from flowlet.workflow.keep import Keep
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import StateKind

__all__ = ["restore_definition", "restore_keep"]


def restore_definition(document: Mapping[str, Any]) -> Definition:
    """Return the definition of a document from ``Definition.to_json``.

    It has no handlers, models or source: it can neither run instances nor validate variables.

    Args:
        document: The parsed JSON document.
    """
    name, version = document["name"], document["version"]
    limits = restore_limit_policy(document["limits"], type=name, state=None, version=version)
    return Definition(
        name=name,
        description=document["description"],
        version=version,
        module="",
        file="",
        line=0,
        start=document["start"],
        states={state["name"]: _restore_state(state, name, version, limits) for state in document["states"]},
        retry=_restore_retry(document["retry"]),
        group=document["executorGroup"],
        priority=document["priority"],
        loop_limit=document["loopLimit"],
        vars=None,
        names_by_id={},
        vars_version=document["varsVersion"],
        keep=restore_keep(document),
        summary=document["summary"],
        limits=limits,
    )


def restore_keep(document: Mapping[str, Any]) -> Keep | None:
    """Return how long the instances of a document's workflow are kept after they have ended; None if it does not say.

    Args:
        document: The parsed JSON document.
    """
    keep = document.get("keep")
    return Keep(keep["period"], keep["failed"]) if keep else None


def _restore_state(document: Mapping[str, Any], type: str, version: int, limits: LimitPolicy | None) -> StateDefinition:
    own = restore_limit_policy(document["limits"], type=type, state=document["name"], version=version)
    is_final = StateKind(document["kind"]) in (StateKind.END, StateKind.ERROR)
    return StateDefinition(
        name=document["name"],
        kind=StateKind(document["kind"]),
        description=document["description"],
        file="",
        line=document["line"],
        transitions=tuple(TransitionDefinition(edge["target"], edge["label"]) for edge in document["transitions"]),
        retry=_restore_retry(document["retry"]),
        timeout=_to_timedelta(document["timeoutSeconds"]),
        on_error=document["onError"],
        form=None,
        deadline=_to_timedelta(document["deadlineSeconds"]),
        on_deadline=document["onDeadline"],
        handler=None,
        is_async=False,
        parameters=(),
        renamed_from=tuple(document["renamedFrom"]),
        messages=tuple(MessageDefinition(one["name"], None) for one in document["messages"]),
        question=QuestionDefinition.restore(document["question"]),
        limits=own or (None if is_final else limits),
    )


def _restore_retry(document: Mapping[str, Any]) -> Retry:
    return Retry(document["limit"], _parse_delay(document["min"]), _parse_delay(document["max"]), document["backoff"])


def _parse_delay(text: str) -> Duration:
    """Return the delay of a text: a timedelta for seconds, as ``90s`` or ``1e+06s``; any other text unchanged."""
    try:
        return timedelta(seconds=float(text.removesuffix("s")))
    except (ValueError, OverflowError):
        return text


def _to_timedelta(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
