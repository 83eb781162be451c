"""The workflows that fit a filter as a file, read and sent page by page."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace

import orjson
from quart import Response

from flowlet.instances import Instance
from flowlet.web.api.shapes import WorkflowShape
from flowlet.web.bulk import pages
from flowlet.web.pages.filters import Filters
from flowlet.web.schemas import rfc3339
from flowlet.web.services import services

__all__ = ["MOST_ROWS", "csv_rows", "json_rows"]

MOST_ROWS = 10_000

_COLUMNS = (
    *("id", "externalId", "businessKey", "workflowType", "state", "status", "executorGroup", "priority", "retryCount"),
    *("nextActivation", "created", "modified", "ended", "parentId", "createdBy", "reason"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""With what a cell begins that spreadsheets take for a formula, or for the beginning of one."""


async def csv_rows(filters: Filters) -> Response:
    """Return a file with a line for each workflow, as RFC 4180 has it."""
    return await _file(filters, _csv, "csv", "text/csv; charset=utf-8; header=present", first=_lines([_COLUMNS]))


async def json_rows(filters: Filters) -> Response:
    """Return a file with a JSON array of all workflows, variables included, one on each line."""
    return await _file(filters, _json, "json", "application/json", first="[", last="\n]\n", between=",")


async def _file(
    filters: Filters,
    written: Callable[[Instance], str],
    ending: str,
    kind: str,
    *,
    first: str,
    last: str = "",
    between: str = "",
) -> Response:
    query = filters.wanted
    # Nothing is missed or told twice in an order that never changes.
    lasting = query if query.order_by in ("id", "created") else replace(query, order_by="id", descending=True)
    found = pages(services().store, lasting, limit=MOST_ROWS)
    begun = await anext(found)  # what goes wrong now is an error of its own, and no file that ends too early

    async def text() -> AsyncIterator[str]:
        yield first
        yield between.join(map(written, begun))
        async for more in found:
            yield between + between.join(map(written, more))
        yield last

    headers = {"Content-Disposition": f'attachment; filename="workflows.{ending}"'}
    return Response(text(), headers=headers, content_type=kind)


def _csv(instance: Instance) -> str:
    told = {
        "externalId": instance.external_id,
        "businessKey": instance.business_key,
        "workflowType": instance.type,
        "executorGroup": instance.executor_group,
        "retryCount": instance.attempt,
        "nextActivation": instance.next_activation and rfc3339(instance.next_activation),
        "created": rfc3339(instance.created),
        "modified": rfc3339(instance.modified),
        "ended": instance.ended and rfc3339(instance.ended),
        "parentId": instance.parent_id,
        "createdBy": instance.created_by,
    }
    return _lines([[_cell(told[name] if name in told else getattr(instance, name)) for name in _COLUMNS]])


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) and not isinstance(value, int) else text


def _lines(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _json(instance: Instance) -> str:
    return "\n" + orjson.dumps(WorkflowShape.of(instance).as_json()).decode()
