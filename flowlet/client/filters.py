"""Which workflows are meant: the filters of a search, of an operation on many, and of a stream of events."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias, TypedDict

from pydantic.alias_generators import to_camel

from flowlet.instance.instance import ActionKind, Status

__all__ = ["EventFilter", "Filter", "SortKey", "encode_fields", "format_timestamp", "reject_empty_filters"]

SortKey: TypeAlias = Literal["id", "created", "modified", "next_activation"]
"""What workflows are sorted by; those without a next activation come last in either direction."""


class Filter(TypedDict, total=False):
    """Which workflows: ``id``, ``external_id``, ``business_key`` and ``prefix`` are joined by OR, the rest by AND.

    Times are aware, from the first one inclusive to the second one exclusive. What is left out, or None, is no
    condition; an empty value is refused.

    Keys:
        prefix: What the external id or the business key begins with; capital and small letters differ.
        status: One status or several.
        is_retrying: Whether an attempt has failed and another one is to come.
        fingerprint: Whose last attempt failed so: that of a workflow which is FAILED or tries again.
        reason_contains: A part of the reason, in capital or small letters.
        state_vars: Which values variables have to have, at most 5; a text finds also the number, true, false or null
            that it spells.
    """

    id: int | None
    external_id: str | None
    business_key: str | None
    prefix: str | None
    workflow_type: str | None
    state: str | None
    status: Status | str | Collection[Status | str] | None
    executor_group: str | None
    parent_id: int | None
    created_from: datetime | None
    created_to: datetime | None
    modified_from: datetime | None
    modified_to: datetime | None
    next_activation_from: datetime | None
    next_activation_to: datetime | None
    is_retrying: bool | None
    fingerprint: str | None
    reason_contains: str | None
    state_vars: Mapping[str, Any] | None


class EventFilter(TypedDict, total=False):
    """Which events, all joined by AND. What is left out, or None, is no condition.

    Keys:
        type: One kind of line or several.
    """

    workflow_id: int | None
    external_id: str | None
    business_key: str | None
    workflow_type: str | None
    executor_group: str | None
    type: ActionKind | str | Collection[ActionKind | str] | None


def reject_empty_filters(filters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return filters that say something: the server takes an empty value as left out, and then means every workflow.

    Raises:
        ValueError: If a value is an empty text, an empty collection, or 0.
    """
    for name, value in filters.items():
        if value is not None and value is not False and not value:
            raise ValueError(f"{name}={value!r} chooses nothing. Leave it out, or pass None, to choose whatever it is.")
    return filters


def encode_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as the API names and writes them, without those that are None."""
    return {to_camel(name): _encode_value(value) for name, value in values.items() if value is not None}


def format_timestamp(moment: datetime) -> str:
    """Return a moment as RFC 3339 writes it.

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
