"""Filters of searches, bulk operations and event streams, and the API's names of request fields."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias, TypedDict

from pydantic.alias_generators import to_camel

from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status

__all__ = ["EventFilter", "Filter", "SortKey", "encode_fields", "format_timestamp", "reject_empty_filters"]

SortKey: TypeAlias = Literal["id", "created", "modified", "next_activation"]
"""The sort key of a search; instances without a next activation come last in either direction."""


class Filter(TypedDict, total=False):
    """Which instances: ``id``, ``external_id``, ``key`` and ``prefix`` are joined by OR, the rest by AND.

    Times are aware datetimes; ``..._from`` is inclusive, ``..._to`` exclusive. A filter that is left out, or None, sets
    no condition; an empty one is refused.

    Keys:
        prefix: The beginning of the external id or the business key; case-sensitive.
        status: One status or several.
        is_retrying: Whether an attempt has failed and another one follows.
        waits_for_version: Whether it waits for another version of its workflow, because an executor's could not run it.
        fingerprint: The fingerprint of the last failure; an instance has one while it is FAILED or retries.
        reason_contains: A part of the reason, regardless of case.
        vars: The values of at most 5 variables; a text also matches the number, true, false or null that it spells.
            ``{"amount>=": 100}`` is a range, and ``{"customer~": "acme"}`` a part of a text, regardless of case.
    """

    id: int | None
    external_id: str | None
    key: str | None
    prefix: str | None
    type: str | None
    state: str | None
    status: Status | str | Collection[Status | str] | None
    group: str | None
    parent_id: int | None
    created_from: datetime | None
    created_to: datetime | None
    modified_from: datetime | None
    modified_to: datetime | None
    next_activation_from: datetime | None
    next_activation_to: datetime | None
    is_retrying: bool | None
    waits_for_version: bool | None
    fingerprint: str | None
    reason_contains: str | None
    vars: Mapping[str, Any] | None


class EventFilter(TypedDict, total=False):
    """Which events, all joined by AND. A filter that is left out, or None, sets no condition.

    Keys:
        kind: One kind of action or several.
    """

    workflow_id: int | None
    external_id: str | None
    key: str | None
    type: str | None
    group: str | None
    kind: ActionKind | str | Collection[ActionKind | str] | None


_API_NAMES = {
    "group": "executorGroup",
    "key": "businessKey",
    "kind": "type",
    "type": "workflowType",
    "when": "nextActivation",
}
"""The fields that the API calls otherwise than Python: it keeps GopherFlow's names."""


def reject_empty_filters(filters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return filters by the names of a request's fields. An empty value, which the server would ignore, is refused.

    Raises:
        ValueError: If a value is an empty text, an empty collection, or 0.
    """
    for name, value in filters.items():
        if value is not None and value is not False and not value:
            raise ValueError(f"the filter {name}={value!r} is empty. Leave it out, or pass None, to match any value.")
    # The API calls them stateVars, as GopherFlow does; its vars are the variables of a create or an edit.
    return {"state_vars" if name == "vars" else name: value for name, value in filters.items()}


def encode_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as the API names and writes them, without those that are None."""
    given = {name: value for name, value in values.items() if value is not None}
    return {_API_NAMES.get(name, to_camel(name)): _encode_value(value) for name, value in given.items()}


def format_timestamp(moment: datetime) -> str:
    """Return a datetime in RFC 3339.

    Raises:
        ValueError: If it has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone: pass an aware datetime, as datetime.now(UTC)")
    return moment.astimezone(UTC).isoformat()


def _encode_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return format_timestamp(value)
    if isinstance(value, str | Mapping) or not isinstance(value, Collection):
        return value
    return [str(one) for one in value]
