"""The workflow list: the workflows that match the filters in the URL, page by page, and as a file."""

from __future__ import annotations

from urllib.parse import urlencode

from quart import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as Redirection

from flowlet.accounts.roles import Role
from flowlet.definition.people.summary import read_shown_vars
from flowlet.errors import SearchError
from flowlet.instance.instance import Instance, Status
from flowlet.operations.views.address import COLUMN_FIELD, LABELS, VIEW_FIELD
from flowlet.operations.views.columns import (
    COLUMNS,
    decode_columns,
    encode_columns,
    find_variable,
    format_variable,
    name_variable_columns,
)
from flowlet.store.search.query import SearchResult
from flowlet.text import clean_text
from flowlet.web.auth import get_principal, require_role
from flowlet.web.console.flash import redirect_with_error
from flowlet.web.console.layout import render_page
from flowlet.web.console.lists.export import export_csv, export_json
from flowlet.web.console.lists.filters import Filters, parse_filter_pairs, read_filters
from flowlet.web.console.lists.saved_views import read_view_row
from flowlet.web.console.lists.variable_names import correct_variable_name, list_variable_names
from flowlet.web.console.pages.bulk import OPERATIONS
from flowlet.web.cookies import set_cookie
from flowlet.web.forms import read_request_form
from flowlet.web.services import get_services

__all__ = ["blueprint"]

SCAN_LIMIT = 25_000
"""How many workflows a page scans for filters without an index; the next page scans as many more."""

COLUMNS_COOKIE = "flowlet_columns"
COLUMNS_LIFETIME_SECONDS = 365 * 24 * 3600

_EMPTY_RESULT = SearchResult((), 0, False, None)

blueprint = Blueprint("workflow_list", __name__)


@blueprint.get("/workflows")
@require_role(Role.VIEWER)
async def show_workflows() -> Response | Redirection:
    """Show the matching workflows, the newest first, or go to the address of a saved view."""
    view_row = await read_view_row(list(request.args.items(multi=True)))
    if view_row.target:
        return redirect(view_row.target, 303)
    filters = _read_list_filters().with_view_fault(view_row.fault)
    filters = await correct_variable_name(filters)
    found = await get_services().store.queries.search(filters.query) if filters.query else _EMPTY_RESULT
    filters = filters.with_error_message(found.instances)
    return await render_page(
        "workflows/workflows.html",
        status=400 if filters.faults else 200,
        filters=filters,
        view_row=view_row,
        labels=LABELS,
        result=found,
        next_url=filters.build_url(cursor=found.next_cursor) if found.next_cursor else None,
        scan_limit=SCAN_LIMIT,
        rows=[(one, _read_variables(one, filters)) for one in found.instances],
        known_columns=COLUMNS.values(),
        types=await _list_types(filters),
        statuses=tuple(Status),
        variable_names=list_variable_names(filters.get_value("type")),
        operations=OPERATIONS if get_principal().role.is_at_least(Role.OPERATOR) else {},
        event_filter=urlencode({"workflowType": filters.get_value("type")} if filters.get_value("type") else {}),
        is_empty=filters.is_empty and not filters.faults and not found.total and not found.is_cut,
    )


@blueprint.post("/workflows/columns")
@require_role(Role.VIEWER)
async def choose_columns() -> Redirection:
    """Go to the list with the chosen columns, which the browser keeps for every other list."""
    given = await read_request_form()
    pairs = [pair for pair in parse_filter_pairs(given.get_text("filters")) if pair[0] != COLUMN_FIELD]
    names = [*given.get_texts(COLUMN_FIELD), *name_variable_columns(given.get_text("variables"))]
    is_reset = given.get_text("reset") == "true"
    filters = read_filters([*pairs, *((COLUMN_FIELD, name) for name in ([] if is_reset else names))])
    if fault := filters.faults.get(COLUMN_FIELD):
        return redirect_with_error(f"{fault}.", read_filters(pairs).build_url())
    answer = redirect(filters.build_url(), 303)
    kept = encode_columns(filters.columns) if filters.has_columns else ""
    set_cookie(answer, COLUMNS_COOKIE, kept, max_age=COLUMNS_LIFETIME_SECONDS if kept else 0)
    return answer


@blueprint.get("/workflows.csv")
@require_role(Role.VIEWER)
async def download_csv() -> Response:
    """Return the matching workflows as CSV, with cells that a spreadsheet does not run as formulas."""
    return await export_csv(await _read_export_filters())


@blueprint.get("/workflows.json")
@require_role(Role.VIEWER)
async def download_json() -> Response:
    """Return the matching workflows as JSON, in the format of the API."""
    return await export_json(await _read_export_filters())


async def _read_export_filters() -> Filters:
    """Return the filters of a file, which starts at the first page; an address with only a view means that of it.

    Raises:
        SearchError: If the filters have faults, or there is no such view.
    """
    pairs = [pair for pair in request.args.items(multi=True) if pair[0] != "cursor"]
    if VIEW_FIELD in request.args:
        row = await read_view_row(pairs)
        if row.fault:
            raise SearchError({VIEW_FIELD: row.fault})
        pairs = parse_filter_pairs(row.target.partition("?")[2]) or pairs
    filters = read_filters(pairs)
    return await correct_variable_name(filters)


def _read_list_filters() -> Filters:
    """Return the filters of the list, with the columns that the browser has kept if the URL has none."""
    pairs = list(request.args.items(multi=True))
    if COLUMN_FIELD not in request.args:
        kept = decode_columns(request.cookies.get(COLUMNS_COOKIE, ""))
        pairs += [(COLUMN_FIELD, column.name) for column in kept]
    return read_filters(pairs, scan_limit=SCAN_LIMIT)


def _read_variables(instance: Instance, filters: Filters) -> dict[str, str]:
    """Return the texts of the variables that have a column, by the column's name."""
    columns = [column for column in filters.columns if column.path]
    if not columns:
        return {}
    variables = read_shown_vars(instance, get_services().registry.find_definition(instance.type))
    return {column.name: clean_text(format_variable(find_variable(variables, column.path))) for column in columns}


async def _list_types(filters: Filters) -> list[str]:
    """Return the types in the filter: those loaded here, those served elsewhere, and the selected one."""
    here = get_services()
    known = {*here.registry.names, *await here.store.definitions.read_save_times(), *filters.raw_values.get("type", ())}
    return sorted(known)
