"""What is sent to each endpoint of the API."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel

from flowlet.client.filters import EventFilter, Filter, encode_fields, reject_empty_filters
from flowlet.client.models import BulkPreview, BulkResult, CreateResult, Instance, ResponseModel, SearchResult
from flowlet.client.request import ApiRequest, ApiResponse, build_json_reader, quote_segment, read_nothing, read_text
from flowlet.durations import Duration, parse_duration

__all__ = [
    "BulkOperation",
    "Id",
    "Variables",
    "When",
    "build_bulk_preview_request",
    "build_bulk_request",
    "build_create_and_wait_request",
    "build_create_body",
    "build_create_request",
    "build_delete_request",
    "build_diagram_request",
    "build_events_request",
    "build_get_request",
    "build_move_and_wait_request",
    "build_operation_request",
    "build_post_request",
    "build_search_request",
    "build_state_body",
    "format_api_duration",
    "is_addressable",
    "is_unambiguous_external_id",
]

Id: TypeAlias = int | str
"""Which workflow: a number is its id, a text its external id, also where it is made of digits."""
Variables: TypeAlias = Mapping[str, Any] | BaseModel
"""Variables by name, or as the model that the workflow's module has for them."""
When: TypeAlias = datetime | Duration
"""A moment, or a length of time from now."""
BulkOperation: TypeAlias = Literal["pause", "resume", "cancel", "retry", "wake", "move"]
"""What can be done with many workflows at once."""

BULK_TIMEOUT_SECONDS = 600.0
"""How long an operation on 10,000 workflows may take."""

Result = TypeVar("Result")


class _OperationResponse(ResponseModel):
    workflow: Instance


_read_operation_response = build_json_reader(_OperationResponse)
_read_created = build_json_reader(CreateResult)


def is_addressable(external_id: str) -> bool:
    """Return whether an external id may stand in an address where an id may: not if it reads as one, or as folders."""
    return "/" not in external_id and is_unambiguous_external_id(external_id)


def is_unambiguous_external_id(external_id: str) -> bool:
    """Return whether an address that ends with an external id names that one: not if an id may be meant as well."""
    return not re.fullmatch(r"(?:[0-9]*|/.*)", external_id, re.DOTALL)


def build_get_request(path: str, result_type: type[Result], **params: Any) -> ApiRequest[Result]:
    """Return a request that only looks."""
    return ApiRequest("GET", path, build_json_reader(result_type), params=_build_params(params), may_repeat=True)


def build_post_request(path: str, result_type: type[Result], **body: Any) -> ApiRequest[Result]:
    """Return a request that changes something, and is answered with this type."""
    return ApiRequest("POST", path, build_json_reader(result_type), body=encode_fields(body))


def build_delete_request(path: str) -> ApiRequest[None]:
    """Return a request that removes something."""
    return ApiRequest("DELETE", path, read_nothing)


def build_operation_request(
    workflow_segment: str, operation: str, body: Mapping[str, Any] | None = None
) -> ApiRequest[Instance]:
    """Return the request of an operation on one workflow; ``workflow_segment`` is what stands for it in the address."""
    path = f"/api/workflows/{workflow_segment}/{operation}"
    return ApiRequest(
        "POST", path, lambda answer: _read_operation_response(answer).workflow, body=encode_fields(body or {})
    )


def build_create_body(
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
        values["next_activation_offset"] = format_api_duration(next_activation)
    return encode_fields(values)


def build_state_body(
    state: str,
    *,
    next_activation: datetime | None = None,
    force: bool = False,
    reason: str | None = None,
    form: Variables | None = None,
) -> dict[str, Any]:
    """Return where a workflow is to go."""
    values = {"state": state, "next_activation": next_activation, "force": force, "reason": reason, "form": form}
    return encode_fields(values)


def build_create_request(create_body: Mapping[str, Any], *, is_generated_id: bool) -> ApiRequest[CreateResult]:
    """Return the request of a create, which may be repeated because it names its external id.

    Args:
        create_body: As ``new_workflow`` gives it.
        is_generated_id: Whether the external id is one that nobody else can have sent.
    """

    def read_created(response: ApiResponse) -> CreateResult:
        is_new = is_generated_id or response.status == 201
        return _read_created(response).model_copy(update={"is_new": is_new})

    return ApiRequest("POST", "/api/workflows", read_created, body=create_body, may_repeat=True)


def build_create_and_wait_request(
    create_body: Mapping[str, Any], *, wait_seconds: float, **more: Any
) -> ApiRequest[Instance]:
    """Return the request of a create that is waited for, which may be repeated as a create may."""
    body = {"createWorkflowRequest": create_body, **encode_fields(more)}
    path = "/api/createAndWait"
    return ApiRequest("POST", path, build_json_reader(Instance), body=body, may_repeat=True, wait_seconds=wait_seconds)


def build_move_and_wait_request(
    external_id: str, state_body: Mapping[str, Any], *, state_vars: Variables | None, wait_seconds: float, **more: Any
) -> ApiRequest[Instance]:
    """Return the request of a move that is waited for."""
    changes = None if state_vars is None else {"values": state_vars}
    body = {"updateWorkflowStateRequest": state_body, **encode_fields({**more, "update_state_var_request": changes})}
    path = f"/api/workflows/{quote_segment(external_id)}/stateAndWait"
    return ApiRequest("POST", path, build_json_reader(Instance), body=body, wait_seconds=wait_seconds)


def build_search_request(filters: Filter, **page: Any) -> ApiRequest[SearchResult]:
    """Return the request of a page of a search."""
    body = encode_fields({**reject_empty_filters(filters), **page})
    return ApiRequest("POST", "/api/workflows/search", build_json_reader(SearchResult), body=body, may_repeat=True)


def build_bulk_request(operation: str, filters: Filter, more: Mapping[str, Any]) -> ApiRequest[BulkResult]:
    """Return the request of an operation on many."""
    return _build_bulk_request(
        operation, filters, build_json_reader(BulkResult), more, extra_work_seconds=BULK_TIMEOUT_SECONDS
    )


def build_bulk_preview_request(operation: str, filters: Filter, more: Mapping[str, Any]) -> ApiRequest[BulkPreview]:
    """Return the request to say on how many an operation would be done."""
    return _build_bulk_request(
        operation, filters, build_json_reader(BulkPreview), {**more, "preview": True}, may_repeat=True
    )


def build_events_request(filters: EventFilter, *, after: int | None) -> ApiRequest[None]:
    """Return the request of a stream of events; ``after`` is the last one that is known."""
    return ApiRequest(
        "GET",
        "/api/events",
        read_nothing,
        params=_build_params({**reject_empty_filters(filters), "after": after}),
        may_repeat=True,
    )


def build_diagram_request(name: str, extension: str) -> ApiRequest[str]:
    """Return the request of a definition as a text of this kind."""
    return ApiRequest("GET", f"/api/definitions/{quote_segment(name)}.{extension}", read_text, may_repeat=True)


def format_api_duration(value: Duration) -> str:
    """Return a length of time as the API reads it.

    Raises:
        DurationError: If it is a text that is not a length of time.
    """
    return f"{parse_duration(value) / timedelta(seconds=1):.6f}s"


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
