"""The request of each endpoint of the API."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel

from flowlet.client.bulk import BulkPreview, BulkResult
from flowlet.client.filters import EventFilter, Filter, encode_fields, reject_empty_filters
from flowlet.client.models import (
    Action,
    Created,
    Instance,
    LanePause,
    ResponseModel,
    SearchResult,
    WaitedInstance,
)
from flowlet.client.request import ApiRequest, ApiResponse, build_json_reader, quote_segment, read_nothing, read_text
from flowlet.clock import Duration, parse_duration

__all__ = [
    "BulkOperation",
    "Id",
    "Variables",
    "When",
    "build_bulk_preview_request",
    "build_bulk_request",
    "build_bulk_run_request",
    "build_create_and_wait_request",
    "build_create_body",
    "build_create_request",
    "build_delete_request",
    "build_diagram_request",
    "build_events_request",
    "build_get_request",
    "build_history_request",
    "build_move_and_wait_request",
    "build_operation_request",
    "build_post_request",
    "build_put_request",
    "build_search_request",
    "build_state_body",
    "format_api_duration",
    "is_addressable",
    "may_end_path",
]

Id: TypeAlias = int | str
"""An instance: an int is its id, a text its external id, even one of digits."""
Variables: TypeAlias = Mapping[str, Any] | BaseModel
"""Variables by name, or as the workflow's model."""
When: TypeAlias = datetime | Duration
"""An aware datetime, or a duration from now."""
BulkOperation: TypeAlias = Literal["pause", "resume", "cancel", "retry", "wake", "move", "acknowledge"]
"""An operation on many instances."""

BULK_TIMEOUT_SECONDS = 600.0
"""How long an operation on 10,000 instances may take."""

Result = TypeVar("Result")


class _OperationResponse(ResponseModel):
    workflow: Instance


_read_operation_response = build_json_reader(_OperationResponse)
_read_created = build_json_reader(Created)
_read_history = build_json_reader(list[Action])


def is_addressable(external_id: str) -> bool:
    """Return whether a path with ``{id}`` may name an instance by its external id: not by a number or with a slash."""
    return "/" not in external_id and not re.fullmatch(r"[0-9]*", external_id)


def may_end_path(external_id: str) -> bool:
    """Return whether the server reads an external id at the end of a path as one: not if it begins with a slash."""
    return bool(external_id) and not external_id.startswith("/")


def build_get_request(path: str, result_type: type[Result], **params: Any) -> ApiRequest[Result]:
    """Return a request that reads."""
    return ApiRequest("GET", path, build_json_reader(result_type), params=_build_params(params), may_repeat=True)


def build_post_request(path: str, result_type: type[Result], **body: Any) -> ApiRequest[Result]:
    """Return a request that changes something, and whose response has this type."""
    return ApiRequest("POST", path, build_json_reader(result_type), body=encode_fields(body))


def build_lane_request(path: str, kind: str, name: str, **more: str) -> ApiRequest[LanePause]:
    """Return a request that changes a lane. Its field is called ``kind`` in the API too, unlike an action's."""
    return ApiRequest("POST", path, build_json_reader(LanePause), body={"kind": str(kind), "name": name, **more})


def build_put_request(path: str, result_type: type[Result], **body: Any) -> ApiRequest[Result]:
    """Return a request that replaces something, and whose response has this type."""
    return ApiRequest("PUT", path, build_json_reader(result_type), body=encode_fields(body))


def build_delete_request(path: str, *, expected_version: int | None) -> ApiRequest[None]:
    """Return a request that deletes something, if it still has the expected version."""
    return ApiRequest("DELETE", path, read_nothing, params=_build_params({"expected_version": expected_version}))


def build_operation_request(
    workflow_segment: str, operation: str, body: Mapping[str, Any] | None = None
) -> ApiRequest[Instance]:
    """Return the request of an operation on one instance, which ``workflow_segment`` names in the path."""
    path = f"/api/workflows/{workflow_segment}/{operation}"
    return ApiRequest(
        "POST", path, lambda response: _read_operation_response(response).workflow, body=encode_fields(body or {})
    )


def build_create_body(type: str, external_id: str, *, when: When | None, **more: Any) -> dict[str, Any]:
    """Return the body that describes a new instance.

    Raises:
        DurationError: If ``when`` is a text that is not a duration.
        ValueError: If ``when`` is a datetime without a time zone.
    """
    values = {"type": type, "external_id": external_id, **more}
    if when is None or isinstance(when, datetime):
        values["when"] = when
    else:
        values["next_activation_offset"] = format_api_duration(when)
    return encode_fields(values)


def build_state_body(
    state: str,
    *,
    when: datetime | None = None,
    force: bool = False,
    reason: str | None = None,
    form: Variables | None = None,
    expected_version: int | None = None,
) -> dict[str, Any]:
    """Return the body that describes a move or an answer."""
    values = {"when": when, "force": force, "reason": reason, "form": form, "expected_version": expected_version}
    return encode_fields({"state": state, **values})


def build_create_request(create_body: Mapping[str, Any], *, is_generated_id: bool) -> ApiRequest[Created]:
    """Return the request of a create, which is safe to repeat because it carries an external id.

    Args:
        create_body: The body from ``build_create_body``.
        is_generated_id: Whether the client generated the external id, so that no other program can have sent it.
    """

    def read_created(response: ApiResponse) -> Created:
        is_new = is_generated_id or response.status == 201
        return _read_created(response).model_copy(update={"is_new": is_new})

    return ApiRequest("POST", "/api/workflows", read_created, body=create_body, may_repeat=True)


def build_create_and_wait_request(
    create_body: Mapping[str, Any], *, states: str | Collection[str] | None, timeout: Duration
) -> ApiRequest[WaitedInstance]:
    """Return the request of a create and a wait, which is safe to repeat as a create is.

    Raises:
        DurationError: If ``timeout`` is not a duration.
    """
    return ApiRequest(
        "POST",
        "/api/createAndWait",
        build_json_reader(WaitedInstance),
        body={"createWorkflowRequest": create_body, **encode_fields({"wait_for_states": _list_states(states)})},
        may_repeat=True,
        wait_seconds=_to_seconds(timeout),
    )


def build_move_and_wait_request(
    workflow_segment: str,
    state_body: Mapping[str, Any],
    *,
    vars: Variables | None,
    states: str | Collection[str] | None,
    timeout: Duration,
    from_states: str | Collection[str] | None,
) -> ApiRequest[WaitedInstance]:
    """Return the request of a move and a wait.

    Raises:
        DurationError: If ``timeout`` is not a duration.
    """
    fields = {
        "update_state_var_request": None if vars is None else {"vars": vars},
        "wait_for_states": _list_states(states),
        "from_states": _list_states(from_states),
    }
    return ApiRequest(
        "POST",
        f"/api/workflows/{workflow_segment}/stateAndWait",
        build_json_reader(WaitedInstance),
        body={"updateWorkflowStateRequest": state_body, **encode_fields(fields)},
        wait_seconds=_to_seconds(timeout),
    )


def build_history_request(workflow_segment: str) -> ApiRequest[list[Action]]:
    """Return the request of a history, in the order of Python's doors: the API sends the newest action first."""
    path = f"/api/actions/byWorkflowId/{workflow_segment}"
    return ApiRequest("GET", path, lambda response: _read_history(response)[::-1], may_repeat=True)


def build_search_request(filters: Filter, **page: Any) -> ApiRequest[SearchResult]:
    """Return the request of one page of a search."""
    body = encode_fields({**reject_empty_filters(filters), **page})
    return ApiRequest("POST", "/api/workflows/search", build_json_reader(SearchResult), body=body, may_repeat=True)


def build_bulk_request(operation: str, filters: Filter, more: Mapping[str, Any]) -> ApiRequest[BulkResult]:
    """Return the request of a bulk operation."""
    return _build_bulk_request(
        operation, filters, build_json_reader(BulkResult), more, extra_work_seconds=BULK_TIMEOUT_SECONDS
    )


def build_bulk_run_request(run_id: str) -> ApiRequest[BulkResult]:
    """Return the request of what a bulk operation has done so far."""
    path = f"/api/bulkRuns/{quote_segment(run_id)}"
    return ApiRequest("GET", path, build_json_reader(BulkResult), may_repeat=True)


def build_bulk_preview_request(operation: str, filters: Filter, more: Mapping[str, Any]) -> ApiRequest[BulkPreview]:
    """Return the request that counts what a bulk operation would change."""
    return _build_bulk_request(
        operation, filters, build_json_reader(BulkPreview), {**more, "preview": True}, may_repeat=True
    )


def build_events_request(filters: EventFilter, *, after: int | None) -> ApiRequest[None]:
    """Return the request of an event stream that begins after the event with this id."""
    return ApiRequest(
        "GET",
        "/api/events",
        read_nothing,
        params=_build_params({**reject_empty_filters(filters), "after": after}),
        may_repeat=True,
    )


def build_diagram_request(name: str, extension: str) -> ApiRequest[str]:
    """Return the request of a definition as text in the format of this file extension."""
    return ApiRequest("GET", f"/api/definitions/{quote_segment(name)}.{extension}", read_text, may_repeat=True)


def format_api_duration(value: Duration) -> str:
    """Return a duration as the API reads it.

    Raises:
        DurationError: If it is a text that is not a duration.
    """
    return f"{_to_seconds(value):.6f}s"


def _to_seconds(value: Duration) -> float:
    return parse_duration(value) / timedelta(seconds=1)


def _list_states(states: str | Collection[str] | None) -> Collection[str] | None:
    return [states] if isinstance(states, str) else states


def _build_bulk_request(
    operation: str,
    filters: Filter,
    read: Callable[[ApiResponse], Result],
    more: Mapping[str, Any],
    *,
    may_repeat: bool = False,
    extra_work_seconds: float = 0.0,
) -> ApiRequest[Result]:
    body = {"operation": operation, "filter": encode_fields(reject_empty_filters(filters)), **encode_fields(more)}
    path = "/api/workflows/bulk"
    return ApiRequest("POST", path, read, body=body, may_repeat=may_repeat, extra_work_seconds=extra_work_seconds)


def _build_params(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (name, str(one))
        for name, value in encode_fields(values).items()
        for one in (value if isinstance(value, list) else [value])
    ]
