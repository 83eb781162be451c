"""Export of the workflows that match a filter as a file, read and sent page by page."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from quart import Response

from flowlet.definition.people.summary import read_shown_vars
from flowlet.definition.registry import Registry
from flowlet.instance.instance import Instance
from flowlet.instance.json_text import write_json
from flowlet.operations.views.columns import find_variable, format_variable
from flowlet.web.api.responses import WorkflowResponse
from flowlet.web.auth import get_principal
from flowlet.web.bulk import search_pages
from flowlet.web.console.lists.filters import Filters
from flowlet.web.schemas import format_rfc3339
from flowlet.web.services import get_services

__all__ = ["MAX_ROWS", "export_csv", "export_json"]

MAX_ROWS = 10_000

_KEY_FIELDS = ("id", "externalId", "businessKey")
_FIELDS = (
    *("id", "externalId", "businessKey", "workflowType", "state", "status", "executorGroup", "priority", "retryCount"),
    *("nextActivation", "created", "modified", "ended", "parentId", "createdBy", "reason"),
)
_FORMULA_BEGINNING = re.compile(r"(^|;\s*)(?=[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20])")
"""Where a spreadsheet would begin a formula: also with a full-width sign, and after a semicolon, which in many
countries separates the cells of a line, whatever quotes are around it."""


async def export_csv(filters: Filters) -> Response:
    """Return a CSV file with a line for each workflow, as RFC 4180 specifies: its keys and the chosen columns.

    If none are chosen, it has all fields of a workflow that are no JSON.
    """
    fields, paths = _list_fields(filters), {column.name: column.path for column in filters.columns if column.path}
    # The file is sent when the request's context is gone.
    format_instance = partial(_format_csv, fields=fields, paths=paths, registry=get_services().registry)
    kind = "text/csv; charset=utf-8; header=present"
    return await _stream_file(
        filters, format_instance, "csv", kind, prefix=_format_csv_lines([map(_format_cell, fields)])
    )


async def export_json(filters: Filters) -> Response:
    """Return a file with a JSON array of the workflows with their variables, one workflow a line."""
    # The file is sent when the request's context is gone.
    format_instance = partial(_format_json, registry=get_services().registry)
    return await _stream_file(
        filters, format_instance, "json", "application/json", prefix="[", suffix="\n]\n", separator=","
    )


async def _stream_file(
    filters: Filters,
    format_instance: Callable[[Instance], str],
    extension: str,
    media_type: str,
    *,
    prefix: str,
    suffix: str = "",
    separator: str = "",
) -> Response:
    query = filters.valid_query
    # In an order that never changes, no workflow is missed or exported twice.
    stable_query = query if query.order_by in ("id", "created") else replace(query, order_by="id", descending=True)
    here, username = get_services(), get_principal().username
    found = search_pages(here.store, stable_query, limit=MAX_ROWS)
    with here.user_shares.hold_scan(stable_query, username):
        first_page = await anext(found)  # a failure here is an HTTP error, not a truncated file

    async def stream_text() -> AsyncIterator[str]:
        yield prefix
        yield separator.join(map(format_instance, first_page))
        while True:
            # Only while a page is read: a slow client holds no place.
            with here.user_shares.count_scan(stable_query, username):
                page = await anext(found, None)
            if page is None:
                break
            yield separator + separator.join(map(format_instance, page))
        yield suffix

    headers = {"Content-Disposition": f'attachment; filename="workflows.{extension}"'}
    answer = Response(stream_text(), headers=headers, content_type=media_type)
    answer.timeout = None  # Quart would cut it after a minute
    return answer


def _list_fields(filters: Filters) -> tuple[str, ...]:
    chosen = (field for column in filters.columns for field in column.fields)
    return (*_KEY_FIELDS, *chosen) if filters.has_columns else _FIELDS


def _format_csv(instance: Instance, *, fields: Sequence[str], paths: Mapping[str, str], registry: Registry) -> str:
    values: dict[str, object] = {
        "externalId": instance.external_id,
        "businessKey": instance.key,
        "workflowType": instance.type,
        "executorGroup": instance.group,
        "retryCount": instance.attempt,
        "nextActivation": instance.next_activation_us and format_rfc3339(instance.next_activation_us),
        "created": format_rfc3339(instance.created_us),
        "modified": format_rfc3339(instance.modified_us),
        "ended": instance.ended_us and format_rfc3339(instance.ended_us),
        "parentId": instance.parent_id,
        "createdBy": instance.created_by,
    }
    if paths:
        variables = read_shown_vars(instance, registry.find_definition(instance.type))
        values |= {name: _read_variable(variables, path) for name, path in paths.items()}
    return _format_csv_lines(
        [[_format_cell(values[name] if name in values else getattr(instance, name)) for name in fields]]
    )


def _read_variable(variables: Mapping[str, Any], path: str) -> object:
    """Return a number as it is, so that a negative one gets no apostrophe, and anything else as a text."""
    value = find_variable(variables, path)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number else format_variable(value, limit=None)


def _format_cell(value: object) -> str:
    text = "" if value is None else str(value)
    return text if isinstance(value, int | float) else _FORMULA_BEGINNING.sub(r"\1'", text)


def _format_csv_lines(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _format_json(instance: Instance, *, registry: Registry) -> str:
    return "\n" + write_json(WorkflowResponse.of(instance, registry).as_json())
