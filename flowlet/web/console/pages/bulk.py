"""Bulk operations on the workflow list: a preview, the operation, and the skipped workflows.

A preview is a GET, and changes nothing. The operation does not affect workflows created after the preview.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, cast
from urllib.parse import urlencode

from quart import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as Redirection

from flowlet.accounts.roles import Role
from flowlet.instance.instance import Instance
from flowlet.store.search.query import SearchQuery
from flowlet.text import MAX_NAME_LENGTH, parse_number
from flowlet.web.auth import get_principal, require_role
from flowlet.web.bulk import MAX_INSTANCES, BulkOperation, bind_operation, search_pages
from flowlet.web.bulk_forecast import MAX_FORECAST, count_move_targets, forecast_operation
from flowlet.web.bulk_runs import BulkRun
from flowlet.web.console.flash import redirect_with_error, redirect_with_success
from flowlet.web.console.layout import render_page
from flowlet.web.console.lists.filters import Filters, parse_filter_pairs, read_filters
from flowlet.web.console.times import now
from flowlet.web.deadline import compute_background_seconds
from flowlet.web.forms import read_request_form
from flowlet.web.problems import ProblemError, build_faults_problem
from flowlet.web.services import get_services

__all__ = ["OPERATIONS", "blueprint"]

PREVIEW_SIZE = 10
MAX_SELECTED = 500
MAX_REASON_LENGTH = 1_000


@dataclass(frozen=True, slots=True)
class OperationText:
    """The texts of an operation.

    Attributes:
        label: Its name.
        past_participle: Its verb, as in "12 workflows were paused".
        takes_reason: Whether it records a reason in the history.
        requires_reason: Whether it is refused without one.
        tone: "danger" if it cannot be undone.
    """

    label: str
    past_participle: str
    takes_reason: bool = False
    requires_reason: bool = False
    tone: str = ""


OPERATIONS: Mapping[str, OperationText] = {
    "pause": OperationText("Pause", "paused", takes_reason=True),
    "resume": OperationText("Resume", "resumed"),
    "retry": OperationText("Retry", "retried"),
    "wake": OperationText("Run now", "scheduled to run now"),
    "move": OperationText("Move", "moved", takes_reason=True),
    "acknowledge": OperationText("Close", "closed", takes_reason=True, requires_reason=True),
    "cancel": OperationText("Cancel", "cancelled", takes_reason=True, tone="danger"),
}


@dataclass(frozen=True, slots=True)
class BulkSelection:
    """The workflows of an operation.

    Attributes:
        name: The name of the operation.
        ids: The selected workflows; None for all that match the filters.
        filters: The filters of the list that the user came from.
        created_before: Workflows created at this time or later are not affected; in microseconds since 1970 UTC.
        state: The target state of a move; "" before the user has chosen it.
    """

    name: BulkOperation
    ids: tuple[int, ...] | None
    filters: Filters
    created_before: int
    state: str = ""

    @property
    def operation_text(self) -> OperationText:
        """The texts of the operation."""
        return OPERATIONS[self.name]

    @property
    def is_complete(self) -> bool:
        """Whether it can be run: a move needs a state."""
        return self.name != "move" or self.state != ""

    @property
    def is_unfiltered(self) -> bool:
        """Whether it means every workflow."""
        return self.ids is None and self.filters.is_empty

    @property
    def query_string_with_operation(self) -> str:
        """The operation and the filters as the query string of the page of a run."""
        return urlencode({"operation": self.name, "filters": self.query_string})

    @property
    def query_string(self) -> str:
        """The filters as the query string of a URL."""
        return self.filters.build_url("")[1:]


blueprint = Blueprint("workflow_bulk", __name__)


@blueprint.get("/workflows/bulk")
@require_role(Role.OPERATOR)
async def show_preview() -> Response | Redirection:
    """Show the workflows of an operation, and ask for a confirmation."""
    arguments = request.args
    if "operation" not in arguments:  # the address of a result, opened again
        return redirect("/workflows", 303)
    ids = arguments.getlist("id") if arguments.get("scope", "all") == "selected" else None
    choice = _read_selection(arguments.get("operation", ""), ids, arguments.get("filters", ""), now())
    choice = _choose_state(choice, arguments.get("state", ""))
    if choice.ids == ():
        return redirect_with_error("No workflows selected.", choice.filters.build_url())
    return await _render_preview(choice)


@blueprint.post("/workflows/bulk")
@require_role(Role.OPERATOR)
async def run_bulk_operation() -> Response | Redirection:
    """Run the operation, and show the skipped workflows."""
    given = await read_request_form()
    ids = [each for each in given.get_text("ids").split(",") if each] if given.get_text("scope") == "selected" else None
    created_before = _parse_created_before(given.get_text("created_before"))
    choice = _read_selection(given.get_text("operation"), ids, given.get_text("filters"), created_before)
    choice = _choose_state(choice, given.get_text("state"))
    reason, with_children = given.get_text("reason").strip(), given.get_text("with_children") == "true"
    if choice.ids == ():
        return redirect_with_error("No workflows selected.", choice.filters.build_url())
    if not choice.is_complete:
        raise ProblemError(build_faults_problem({"state": "must be the state that the workflows are moved to"}))
    faults = {}
    if len(reason) > MAX_REASON_LENGTH:
        faults["reason"] = f"Has {len(reason):,} characters; the limit is {MAX_REASON_LENGTH:,}"
    if choice.operation_text.requires_reason and not reason:
        faults["reason"] = "Required"
    if choice.is_unfiltered and given.get_text("confirm_all") != "true":
        faults["confirm_all"] = "No filter is set: confirm that you mean all workflows, or go back and add a filter."
    if faults:
        return await _render_preview(choice, faults, reason=reason, with_children=with_children)
    run = await _run_selection(choice, reason=reason or None, with_children=with_children)
    if run.is_running:
        return redirect(f"/workflows/bulk/{run.id}?{choice.query_string_with_operation}", 303)
    return await _render_result(choice, run)


@blueprint.get("/workflows/bulk/<run_id>")
@require_role(Role.OPERATOR)
async def show_run(run_id: str) -> Response | Redirection:
    """Show what an operation that goes on in the background has done so far."""
    choice = _read_selection(request.args.get("operation", ""), None, request.args.get("filters", ""), now())
    run = get_services().bulk_runs.find(run_id)
    if run is None:
        return redirect_with_error(
            "This process does not know the bulk operation: look at the workflows.", choice.filters.build_url()
        )
    return await _render_result(choice, run)


async def _render_result(selection: BulkSelection, run: BulkRun) -> Response | Redirection:
    """Return the page of a result; the list, with a notice, where there is no more to say."""
    summary = _describe_result(run.done_count, selection.operation_text)
    if not (run.is_running or run.error or run.refused_ids):
        return redirect_with_success(summary, selection.filters.build_url())
    return await render_page("bulk/result.html", selection=selection, result=run, summary=summary)


async def _render_preview(
    selection: BulkSelection, faults: Mapping[str, str] | None = None, **form_values: object
) -> Response:
    """Return the page that asks for a confirmation.

    Raises:
        ProblemError: 429 if the user has too many searches without an index open.
    """
    is_search = selection.ids is None
    shares, query = get_services().user_shares, _build_query(selection)
    with shares.hold_scan(query, get_principal().username) if is_search else nullcontext():
        values = await _examine_selection(selection)
    values |= {"faults": faults or {}, "reason": "", "with_children": False, **form_values}
    return await render_page("bulk/preview.html", status=422 if faults else 200, **values)


async def _examine_selection(selection: BulkSelection) -> dict[str, Any]:
    """Return what the page shows of the workflows and of the operation on them."""
    reads = get_services().store.queries
    first: Sequence[Instance]
    chosen: list[Instance] | None = None
    if selection.ids is not None:
        several = await reads.get_many(selection.ids)
        chosen = [several[id] for id in selection.ids if id in several]
        first, total, is_at_least = chosen[:PREVIEW_SIZE], len(several), False
    else:
        found = await reads.search(_build_query(selection, limit=PREVIEW_SIZE))
        first, total, is_at_least = found.instances, found.total, found.total_is_at_least
    operations = get_services().operations
    return {
        "selection": replace(selection, filters=selection.filters.with_error_message(first)),
        "preview": first,
        "total": total,
        "is_at_least": is_at_least,
        "limit": MAX_INSTANCES,
        "forecast": await forecast_operation(
            operations, selection.name, _iterate_pages(selection, chosen), state=selection.state
        ),
        "targets": await _read_move_options(selection, chosen) if selection.name == "move" else (),
    }


async def _read_move_options(selection: BulkSelection, selected: Sequence[Instance] | None) -> list[tuple[str, str]]:
    """Return the states that a move can lead to, each with its label; also the chosen one if none leads there."""
    pages = _iterate_pages(selection, selected)
    counts = dict(await count_move_targets(get_services().operations, pages))
    if selection.state:
        counts.setdefault(selection.state, 0)
    return [(state, f"{state} ({count:,})") for state, count in counts.items()]


def _iterate_pages(selection: BulkSelection, selected: Sequence[Instance] | None) -> AsyncIterator[Sequence[Instance]]:
    """Return the workflows that a preview looks at: the selected ones, or the first that match the filters."""
    if selected is not None:
        return _iterate_once(selected)
    return search_pages(get_services().store, _build_query(selection), limit=MAX_FORECAST)


async def _iterate_once(instances: Sequence[Instance]) -> AsyncIterator[Sequence[Instance]]:
    yield instances


async def _run_selection(selection: BulkSelection, *, reason: str | None, with_children: bool) -> BulkRun:
    """Start the operation, and return it when it has ended, or when the request has to be answered."""
    operate = bind_operation(
        get_services().operations,
        selection.name,
        username=get_principal().username,
        reason=reason if selection.operation_text.takes_reason else None,
        with_children=with_children,
        state=selection.state,
    )
    subject = f"bulk {selection.name} by {get_principal().username!r}"
    run = get_services().bulk_runs.start(operate, _iterate_ids(selection), subject=subject)
    await run.wait(compute_background_seconds())
    return run


async def _iterate_ids(selection: BulkSelection) -> AsyncIterator[Sequence[int]]:
    if selection.ids is not None:
        yield selection.ids
        return
    async for found in search_pages(get_services().store, _build_query(selection), limit=MAX_INSTANCES):
        yield [instance.id for instance in found]


def _build_query(selection: BulkSelection, *, limit: int = PREVIEW_SIZE) -> SearchQuery:
    """Return the query in the order of ids, which no operation changes."""
    query = selection.filters.valid_query
    before = selection.created_before if query.created_to is None else min(query.created_to, selection.created_before)
    return replace(query, order_by="id", descending=False, cursor=None, created_to=before, limit=limit)


def _read_selection(name: str, ids: Sequence[str] | None, query_string: str, created_before: int) -> BulkSelection:
    """Return the workflows of an operation.

    Raises:
        ProblemError: 400 if the operation is unknown, an id is malformed, or the filters have faults.
    """
    faults: dict[str, str] = {}
    found = [parse_number(id) for id in ids or ()]
    if name not in OPERATIONS:
        faults["operation"] = f"must be one of {', '.join(OPERATIONS)}"
    if ids is not None and (len(ids) > MAX_SELECTED or None in found):
        faults["id"] = f"must be the ids of at most {MAX_SELECTED} workflows"
    filters = read_filters(parse_filter_pairs(query_string))
    if faults := {**filters.faults, **faults}:
        raise ProblemError(build_faults_problem(faults))
    selected = None if ids is None else tuple(dict.fromkeys(id for id in found if id is not None))
    return BulkSelection(cast("BulkOperation", name), selected, filters, created_before)


def _choose_state(selection: BulkSelection, state: str) -> BulkSelection:
    """Return a move's selection with its target state, and any other one as it is.

    Raises:
        ProblemError: 400 if the name is longer than one of a state can be.
    """
    if selection.name != "move":
        return selection
    if len(state) > MAX_NAME_LENGTH:
        raise ProblemError(build_faults_problem({"state": f"must have at most {MAX_NAME_LENGTH} characters"}))
    return replace(selection, state=state)


def _parse_created_before(text: str) -> int:
    created_before = parse_number(text)
    if created_before is None:
        fault = "is not the time of a preview: open the preview again"
        raise ProblemError(build_faults_problem({"created_before": fault}))
    return created_before


def _describe_result(count: int, operation_text: OperationText) -> str:
    return f"{count:,} workflow{' was' if count == 1 else 's were'} {operation_text.past_participle}."
