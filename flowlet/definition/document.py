"""The document of a definition: what the store keeps of it and the API shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowlet.clock import Duration
from flowlet.definition.limits.limit_policy import limits_to_json
from flowlet.definition.model_shape import build_schema
from flowlet.instance.keep_period import format_keep_period
from flowlet.workflow.keep import Keep
from flowlet.workflow.retry import Retry

if TYPE_CHECKING:
    from flowlet.definition.definition import Definition, StateDefinition

__all__ = ["build_document"]


def build_document(definition: Definition) -> dict[str, Any]:
    """Return a definition as plain JSON values with names in camelCase; ``restore_definition`` reads it."""
    return {
        "name": definition.name,
        "description": definition.description,
        "version": definition.version,
        "start": definition.start,
        "executorGroup": definition.group,
        "priority": definition.priority,
        "loopLimit": definition.loop_limit,
        "summary": definition.summary,
        "keep": _keep_to_json(definition.keep),
        "limits": limits_to_json(definition.limits),
        "retry": _retry_to_json(definition.retry),
        "variables": build_schema(definition.vars) if definition.vars else {"type": "object"},
        "varsVersion": definition.vars_version,
        "schedules": [schedule.to_json() for schedule in definition.schedules],
        "states": [_state_to_json(state) for state in definition.states.values()],
    }


def _keep_to_json(keep: Keep | None) -> dict[str, str] | None:
    if keep is None:
        return None
    return {"period": format_keep_period(keep.length), "failed": format_keep_period(keep.failed_length)}


def _retry_to_json(retry: Retry) -> dict[str, Any]:
    return {
        "limit": retry.limit,
        "min": _duration_to_json(retry.min),
        "max": _duration_to_json(retry.max),
        "backoff": retry.backoff,
        "never": [error.__qualname__ for error in retry.never],
    }


def _duration_to_json(value: Duration) -> str:
    return value if isinstance(value, str) else f"{value.total_seconds():g}s"


def _state_to_json(state: StateDefinition) -> dict[str, Any]:
    return {
        "name": state.name,
        "kind": state.kind.value,
        "renamedFrom": list(state.renamed_from),
        "description": state.description,
        "line": state.line,
        "transitions": [{"target": edge.target, "label": edge.label} for edge in state.transitions],
        "retry": _retry_to_json(state.retry),
        "timeoutSeconds": state.timeout.total_seconds() if state.timeout else None,
        "onError": state.on_error,
        "form": build_schema(state.form) if state.form else None,
        "messages": [{"name": one.name, "schema": one.build_schema()} for one in state.messages],
        "deadlineSeconds": state.deadline.total_seconds() if state.deadline else None,
        "onDeadline": state.on_deadline,
        "question": state.question.to_json() if state.question else None,
        "limits": limits_to_json(state.limits) if state.limits and state.limits.state else None,
    }
