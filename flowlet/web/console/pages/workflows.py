"""The workflow list: the workflows that match the filters in the URL, page by page, and as a file."""

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
"""How many workflows a page scans for filters without an index; the next page scans as many more."""

_EMPTY_RESULT = SearchResult((), 0, False, None)

blueprint = Blueprint("workflow_list", __name__)


@blueprint.get("/workflows")
@require_role(Role.VIEWER)
async def show_workflows() -> Response:
    """Show the matching workflows, the newest first."""
    filters = read_filters(request.args.items(multi=True), scan_limit=SCAN_LIMIT)
    found = await get_services().store.queries.search(filters.query) if filters.query else _EMPTY_RESULT
    filters = filters.with_error_message(found.instances)
    return await render_page(
        "workflows/workflows.html",
        status=400 if filters.faults else 200,
        filters=filters,
        labels=LABELS,
        result=found,
        next_url=filters.build_url(cursor=found.next_cursor) if found.next_cursor else None,
        scan_limit=SCAN_LIMIT,
        types=await _list_types(filters),
        statuses=tuple(Status),
        operations=OPERATIONS if get_principal().role.is_at_least(Role.OPERATOR) else {},
        event_filter=urlencode({"workflowType": filters.get_value("type")} if filters.get_value("type") else {}),
        is_empty=filters.is_empty and not filters.faults and not found.total and not found.is_cut,
    )


@blueprint.get("/workflows.csv")
@require_role(Role.VIEWER)
async def download_csv() -> Response:
    """Return the matching workflows as CSV, with cells that a spreadsheet does not run as formulas."""
    return await export_csv(_read_export_filters())


@blueprint.get("/workflows.json")
@require_role(Role.VIEWER)
async def download_json() -> Response:
    """Return the matching workflows as JSON, in the format of the API."""
    return await export_json(_read_export_filters())


def _read_export_filters() -> Filters:
    """Return the filters of a file, which starts at the first page."""
    return read_filters(pair for pair in request.args.items(multi=True) if pair[0] != "cursor")


async def _list_types(filters: Filters) -> list[str]:
    """Return the types in the filter: those loaded here, those served elsewhere, and the selected one."""
    here = get_services()
    known = {*here.registry.names, *await here.store.definitions.read_save_times(), *filters.raw_values.get("type", ())}
    return sorted(known)
