"""What is sent to each endpoint of the API."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel

from flowlet.client.calls import Answer, Call, nothing, read_as, segment, text
from flowlet.client.filters import EventFilter, Filter, chosen, named
from flowlet.client.models import BulkOutcome, BulkPreview, Created, Model, Page, Workflow
from flowlet.durations import Duration, duration

__all__ = [
    "BulkOperation",
    "Id",
    "Variables",
    "When",
    "bulk",
    "create",
    "create_and_wait",
    "delete",
    "events",
    "is_addressable",
    "is_named_by",
    "length",
    "look",
    "make",
    "move_and_wait",
    "new_workflow",
    "operate",
    "picture",
    "preview",
    "search",
    "state_request",
]

Id: TypeAlias = int | str
"""Which workflow: a number is its id, a text its external id, also where it is made of digits."""
Variables: TypeAlias = Mapping[str, Any] | BaseModel
"""Variables by name, or as the model that the workflow's module has for them."""
When: TypeAlias = datetime | Duration
"""A moment, or a length of time from now."""
BulkOperation: TypeAlias = Literal["pause", "resume", "cancel", "retry", "wake", "move"]
"""What can be done with many workflows at once."""

BULK_SECONDS = 600.0
"""How long an operation on 10,000 workflows may take."""

Result = TypeVar("Result")


class _Changed(Model):
    workflow: Workflow


_changed = read_as(_Changed)
_created = read_as(Created)


def is_addressable(external_id: str) -> bool:
    """Return whether an external id may stand in an address where an id may: not if it reads as one, or as folders."""
    return "/" not in external_id and is_named_by(external_id)


def is_named_by(external_id: str) -> bool:
    """Return whether an address that ends with an external id names that one: not if an id may be meant as well."""
    return not re.fullmatch(r"(?:[0-9]*|/.*)", external_id, re.DOTALL)


def look(path: str, kind: type[Result], **params: Any) -> Call[Result]:
    """Return a request that only looks."""
    return Call("GET", path, read_as(kind), params=_params(params), may_repeat=True)


def make(path: str, kind: type[Result], **body: Any) -> Call[Result]:
    """Return a request that changes something, and is answered with this type."""
    return Call("POST", path, read_as(kind), body=named(body))


def delete(path: str) -> Call[None]:
    """Return a request that removes something."""
    return Call("DELETE", path, nothing)


def operate(place: str, operation: str, body: Mapping[str, Any] | None = None) -> Call[Workflow]:
    """Return the request of an operation on one workflow; ``place`` is what stands for it in the address."""
    path = f"/api/workflows/{place}/{operation}"
    return Call("POST", path, lambda answer: _changed(answer).workflow, body=named(body or {}))


def new_workflow(
    workflow_type: str, external_id: str, *, state_vars: Variables | None, next_activation: When | None, **more: Any
) -> dict[str, Any]:
    """Return the description of a workflow to be created.

    Raises:
        DurationError: If ``next_activation`` is a text that is not a length of time.
        ValueError: If it is a moment without a time zone.
    """
    values = {"workflow_type": workflow_type, "external_id": external_id, "state_vars": state_vars, **more}
    if next_activation is None or isinstance(next_activation, datetime):
        values["next_activation"] = next_activation
    else:
        values["next_activation_offset"] = length(next_activation)
    return named(values)


def state_request(
    state: str,
    *,
    next_activation: datetime | None = None,
    force: bool = False,
    reason: str | None = None,
    form: Variables | None = None,
) -> dict[str, Any]:
    """Return where a workflow is to go."""
    values = {"state": state, "next_activation": next_activation, "force": force, "reason": reason, "form": form}
    return named(values)


def create(new: Mapping[str, Any], *, is_made_up: bool) -> Call[Created]:
    """Return the request of a create, which may be repeated because it names its external id.

    Args:
        new: As ``new_workflow`` gives it.
        is_made_up: Whether the external id is one that nobody else can have sent.
    """

    def read(answer: Answer) -> Created:
        is_new = is_made_up or answer.status == 201
        return _created(answer).model_copy(update={"is_new": is_new})

    return Call("POST", "/api/workflows", read, body=new, may_repeat=True)


def create_and_wait(new: Mapping[str, Any], *, wait_seconds: float, **more: Any) -> Call[Workflow]:
    """Return the request of a create that is waited for, which may be repeated as a create may."""
    body = {"createWorkflowRequest": new, **named(more)}
    path = "/api/createAndWait"
    return Call("POST", path, read_as(Workflow), body=body, may_repeat=True, wait_seconds=wait_seconds)


def move_and_wait(
    external_id: str, move: Mapping[str, Any], *, state_vars: Variables | None, wait_seconds: float, **more: Any
) -> Call[Workflow]:
    """Return the request of a move that is waited for."""
    changes = None if state_vars is None else {"values": state_vars}
    body = {"updateWorkflowStateRequest": move, **named({**more, "update_state_var_request": changes})}
    path = f"/api/workflows/{segment(external_id)}/stateAndWait"
    return Call("POST", path, read_as(Workflow), body=body, wait_seconds=wait_seconds)


def search(filters: Filter, **page: Any) -> Call[Page]:
    """Return the request of a page of a search."""
    body = named({**chosen(filters), **page})
    return Call("POST", "/api/workflows/search", read_as(Page), body=body, may_repeat=True)


def bulk(operation: str, filters: Filter, more: Mapping[str, Any]) -> Call[BulkOutcome]:
    """Return the request of an operation on many."""
    return _bulk(operation, filters, read_as(BulkOutcome), more, work_seconds=BULK_SECONDS)


def preview(operation: str, filters: Filter, more: Mapping[str, Any]) -> Call[BulkPreview]:
    """Return the request to say on how many an operation would be done."""
    return _bulk(operation, filters, read_as(BulkPreview), {**more, "preview": True}, may_repeat=True)


def events(filters: EventFilter, *, after: int | None) -> Call[None]:
    """Return the request of a stream of events; ``after`` is the last one that is known."""
    return Call("GET", "/api/events", nothing, params=_params({**chosen(filters), "after": after}), may_repeat=True)


def picture(name: str, kind: str) -> Call[str]:
    """Return the request of a definition as a text of this kind."""
    return Call("GET", f"/api/definitions/{segment(name)}.{kind}", text, may_repeat=True)


def length(value: Duration) -> str:
    """Return a length of time as the API reads it.

    Raises:
        DurationError: If it is a text that is not a length of time.
    """
    return f"{duration(value) / timedelta(seconds=1):.6f}s"


def _bulk(
    operation: str,
    filters: Filter,
    read: Callable[[Answer], Result],
    more: Mapping[str, Any],
    *,
    may_repeat: bool = False,
    work_seconds: float = 0.0,
) -> Call[Result]:
    body = {"operation": operation, "filter": named(chosen(filters)), **named(more)}
    path = "/api/workflows/bulk"
    return Call("POST", path, read, body=body, may_repeat=may_repeat, work_seconds=work_seconds)


def _params(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (name, str(one))
        for name, value in named(values).items()
        for one in (value if isinstance(value, list) else [value])
    ]
