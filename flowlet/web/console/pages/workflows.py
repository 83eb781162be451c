"""The page of workflows: those that fit the filters in its address, page by page, and as a file."""

from __future__ import annotations

from urllib.parse import urlencode

from quart import Blueprint, Response, request

from flowlet.accounts.roles import Role
from flowlet.instance.instance import Status
from flowlet.store.search.query import SearchResult
from flowlet.web.auth import get_principal, require_role
from flowlet.web.console.export import export_csv, export_json
from flowlet.web.console.filters import LABELS, Filters, read_filters
from flowlet.web.console.layout import render_page
from flowlet.web.console.pages.bulk import OPERATIONS
from flowlet.web.services import get_services

__all__ = ["blueprint"]

SCAN_LIMIT = 25_000
"""Among how many workflows a page looks for what no index tells; the next one looks among the next so many."""

_EMPTY_RESULT = SearchResult((), 0, False, None)

blueprint = Blueprint("workflow_list", __name__)


@blueprint.get("/workflows")
@require_role(Role.VIEWER)
async def show_workflows() -> Response:
    """Show the workflows that fit, the newest first."""
    filters = read_filters(request.args.items(multi=True), scan_limit=SCAN_LIMIT)
    found = await get_services().store.queries.search(filters.query) if filters.query else _EMPTY_RESULT
    filters = filters.with_error_message(found.instances)
    return await render_page(
        "workflows/workflows.html",
        status=400 if filters.faults else 200,
        filters=filters,
        labels=LABELS,
        found=found,
        older=filters.build_url(cursor=found.next_cursor) if found.next_cursor else None,
        scan_limit=SCAN_LIMIT,
        types=await _list_types(filters),
        statuses=tuple(Status),
        operations=OPERATIONS if get_principal().role.is_at_least(Role.OPERATOR) else {},
        events=urlencode({"workflowType": filters.get_value("type")} if filters.get_value("type") else {}),
        is_vacant=filters.is_empty and not filters.faults and not found.total and not found.is_cut,
    )


@blueprint.get("/workflows.csv")
@require_role(Role.VIEWER)
async def download_csv() -> Response:
    """Return the workflows that fit as a table: one that a spreadsheet opens, and takes no cell for a formula."""
    return await export_csv(_read_export_filters())


@blueprint.get("/workflows.json")
@require_role(Role.VIEWER)
async def download_json() -> Response:
    """Return the workflows that fit as the API tells them."""
    return await export_json(_read_export_filters())


def _read_export_filters() -> Filters:
    """Return the filters of a file, which begins with the first page."""
    return read_filters(pair for pair in request.args.items(multi=True) if pair[0] != "cursor")


async def _list_types(filters: Filters) -> list[str]:
    """Return the types that can be chosen: what is loaded here, what was served elsewhere, and what is asked for."""
    here = get_services()
    known = {*here.registry.names, *await here.store.definitions.read_save_times(), *filters.raw_values.get("type", ())}
    return sorted(known)
