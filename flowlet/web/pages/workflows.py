"""The page of workflows: those that fit the filters in its address, page by page, and as a file."""

from __future__ import annotations

from urllib.parse import urlencode

from quart import Blueprint, Response, request

from flowlet.instances import Status
from flowlet.roles import Role
from flowlet.store.search import SearchResult
from flowlet.web.guards import needs, principal
from flowlet.web.pages.downloads import csv_rows, json_rows
from flowlet.web.pages.filters import LABELS, Filters, read_filters
from flowlet.web.pages.frame import page
from flowlet.web.pages.operating import OPERATIONS
from flowlet.web.services import services

__all__ = ["blueprint"]

REACH = 25_000
"""Among how many workflows a page looks for what no index tells; the next one looks among the next so many."""

_NOTHING = SearchResult((), 0, False, None)

blueprint = Blueprint("workflow_list", __name__)


@blueprint.get("/workflows")
@needs(Role.VIEWER)
async def show() -> Response:
    """Show the workflows that fit, the newest first."""
    filters = read_filters(request.args.items(multi=True), reach=REACH)
    found = await services().store.reads.search(filters.query) if filters.query else _NOTHING
    filters = filters.naming(found.instances)
    return await page(
        "workflows/workflows.html",
        status=400 if filters.faults else 200,
        filters=filters,
        labels=LABELS,
        found=found,
        older=filters.address(cursor=found.next_cursor) if found.next_cursor else None,
        reach=REACH,
        types=await _types(filters),
        statuses=tuple(Status),
        operations=OPERATIONS if principal().role.allows(Role.OPERATOR) else {},
        events=urlencode({"workflowType": filters.value("type")} if filters.value("type") else {}),
        is_vacant=filters.is_empty and not filters.faults and not found.total and not found.is_cut,
    )


@blueprint.get("/workflows.csv")
@needs(Role.VIEWER)
async def download_csv() -> Response:
    """Return the workflows that fit as a table: one that a spreadsheet opens, and takes no cell for a formula."""
    return await csv_rows(_filters())


@blueprint.get("/workflows.json")
@needs(Role.VIEWER)
async def download_json() -> Response:
    """Return the workflows that fit as the API tells them."""
    return await json_rows(_filters())


def _filters() -> Filters:
    """Return the filters of a file, which begins with the first page."""
    return read_filters(pair for pair in request.args.items(multi=True) if pair[0] != "cursor")


async def _types(filters: Filters) -> list[str]:
    """Return the types that can be chosen: what is loaded here, what was served elsewhere, and what is asked for."""
    here = services()
    known = {*here.registry.names, *await here.store.definitions.moments(), *filters.given.get("type", ())}
    return sorted(known)
