"""Export of the workflows that match a filter as a file, read and sent page by page."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace

from quart import Response

from flowlet.instance.instance import Instance
from flowlet.instance.json_text import write_json
from flowlet.web.api.responses import WorkflowResponse
from flowlet.web.bulk import search_pages
from flowlet.web.console.filters import Filters
from flowlet.web.schemas import format_rfc3339
from flowlet.web.services import get_services

__all__ = ["MAX_ROWS", "export_csv", "export_json"]

MAX_ROWS = 10_000

_COLUMNS = (
    *("id", "externalId", "businessKey", "workflowType", "state", "status", "executorGroup", "priority", "retryCount"),
    *("nextActivation", "created", "modified", "ended", "parentId", "createdBy", "reason"),
)
_FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Prefixes of cells that a spreadsheet would run as a formula."""


async def export_csv(filters: Filters) -> Response:
    """Return a CSV file with a line for each workflow, as RFC 4180 specifies."""
    return await _stream_file(
        filters, _format_csv, "csv", "text/csv; charset=utf-8; header=present", prefix=_format_csv_lines([_COLUMNS])
    )


async def export_json(filters: Filters) -> Response:
    """Return a file with a JSON array of the workflows with their variables, one workflow a line."""
    return await _stream_file(
        filters, _format_json, "json", "application/json", prefix="[", suffix="\n]\n", separator=","
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
    found = search_pages(get_services().store, stable_query, limit=MAX_ROWS)
    first_page = await anext(found)  # a failure here is an HTTP error, not a truncated file

    async def stream_text() -> AsyncIterator[str]:
        yield prefix
        yield separator.join(map(format_instance, first_page))
        async for page in found:
            yield separator + separator.join(map(format_instance, page))
        yield suffix

    headers = {"Content-Disposition": f'attachment; filename="workflows.{extension}"'}
    answer = Response(stream_text(), headers=headers, content_type=media_type)
    answer.timeout = None  # Quart would cut it after a minute
    return answer


def _format_csv(instance: Instance) -> str:
    values = {
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
    return _format_csv_lines(
        [[_format_cell(values[name] if name in values else getattr(instance, name)) for name in _COLUMNS]]
    )


def _format_cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA_PREFIXES) and not isinstance(value, int) else text


def _format_csv_lines(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _format_json(instance: Instance) -> str:
    return "\n" + write_json(WorkflowResponse.of(instance).as_json())
