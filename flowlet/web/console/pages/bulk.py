"""Bulk operations on the page of workflows: what would be done to how many, then the work, then what refused.

A preview is an address, and changes nothing. What was created after it is left alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast
from urllib.parse import parse_qsl

from quart import Blueprint, Response, request
from werkzeug.wrappers import Response as Redirection

from flowlet.accounts.roles import Role
from flowlet.instance.instance import Instance
from flowlet.store.search.query import SearchQuery
from flowlet.text import parse_number
from flowlet.web.auth import get_principal, require_role
from flowlet.web.bulk import MAX_INSTANCES, BulkOperation, RefusalError, bind_operation, run_operation, search_pages
from flowlet.web.console.filters import Filters, read_filters
from flowlet.web.console.flash import redirect_with_error, redirect_with_success
from flowlet.web.console.layout import render_page
from flowlet.web.console.times import now
from flowlet.web.forms import MAX_FIELDS, read_request_form
from flowlet.web.problems import ProblemError, build_faults_problem
from flowlet.web.services import get_services

__all__ = ["OPERATIONS", "blueprint"]

PREVIEW_SIZE = 10
MAX_SELECTED = 500
MAX_IDS_SHOWN = 10
MAX_REASON_LENGTH = 1_000


@dataclass(frozen=True, slots=True)
class OperationText:
    """An operation in the words of the page.

    Attributes:
        label: What it is called.
        past_participle: What has been done, as in "12 workflows were paused".
        takes_reason: Whether a reason goes into the history.
        tone: "danger" where it cannot be taken back.
    """

    label: str
    past_participle: str
    takes_reason: bool = False
    tone: str = ""


OPERATIONS: Mapping[str, OperationText] = {
    "pause": OperationText("Pause", "paused", takes_reason=True),
    "resume": OperationText("Resume", "resumed"),
    "retry": OperationText("Retry", "retried"),
    "wake": OperationText("Run now", "made due at once"),
    "cancel": OperationText("Cancel", "cancelled", takes_reason=True, tone="danger"),
}


@dataclass(frozen=True, slots=True)
class BulkSelection:
    """On what an operation is done.

    Attributes:
        name: The operation's.
        ids: Those that were ticked; None for all that fit the filters.
        filters: What was looked for, and where the way back leads.
        created_before: What was created at this time or later is left alone; in microseconds since 1970 UTC.
    """

    name: BulkOperation
    ids: tuple[int, ...] | None
    filters: Filters
    created_before: int

    @property
    def operation_text(self) -> OperationText:
        """The operation in words."""
        return OPERATIONS[self.name]

    @property
    def is_unfiltered(self) -> bool:
        """Whether nothing narrows it."""
        return self.ids is None and self.filters.is_empty

    @property
    def query_string(self) -> str:
        """The filters as the query of an address."""
        return self.filters.build_url("")[1:]


@dataclass
class BulkSummary:
    """What has been done, and what refused by why: how many, and the ids of the first ones."""

    done_count: int = 0
    refused_ids: dict[str, list[int]] = field(default_factory=dict)
    refused_counts: dict[str, int] = field(default_factory=dict)

    def count_workflow(self, id: int, refusal: RefusalError | None) -> None:
        """Count one workflow."""
        if refusal is None:
            self.done_count += 1
            return
        why = getattr(refusal, "reason", "it does not exist")
        self.refused_counts[why] = self.refused_counts.get(why, 0) + 1
        ids = self.refused_ids.setdefault(why, [])
        ids += [id] if len(ids) < MAX_IDS_SHOWN else []

    @property
    def groups(self) -> list[tuple[str, int, list[int]]]:
        """Each reason to refuse, how often it was given, and the first ids: the most frequent first."""
        return sorted(
            ((why, self.refused_counts[why], ids) for why, ids in self.refused_ids.items()), key=lambda group: -group[1]
        )


blueprint = Blueprint("workflow_bulk", __name__)


@blueprint.get("/workflows/bulk")
@require_role(Role.OPERATOR)
async def show_preview() -> Response | Redirection:
    """Show what an operation would be done to, and ask whether it is meant."""
    given = request.args
    is_ticked = given.get("which", "all") == "ticked"
    choice = _read_selection(
        given.get("operation", ""), given.getlist("id") if is_ticked else None, given.get("fits", ""), now()
    )
    if choice.ids == ():
        return redirect_with_error("No workflow is ticked.", choice.filters.build_url())
    return await _render_preview(choice)


@blueprint.post("/workflows/bulk")
@require_role(Role.OPERATOR)
async def run_bulk_operation() -> Response | Redirection:
    """Do it, and tell what refused."""
    given = await read_request_form()
    ids = [each for each in given.get_text("ids").split(",") if each] if given.get_text("which") == "ticked" else None
    choice = _read_selection(
        given.get_text("operation"), ids, given.get_text("fits"), _parse_before(given.get_text("before"))
    )
    reason, with_children = given.get_text("reason").strip(), given.get_text("with_children") == "true"
    if choice.ids == ():
        return redirect_with_error("No workflow is ticked.", choice.filters.build_url())
    faults = {}
    if len(reason) > MAX_REASON_LENGTH:
        faults["reason"] = f"has {len(reason):,} characters, and may have {MAX_REASON_LENGTH:,}"
    if choice.is_unfiltered and given.get_text("everything") != "true":
        faults["everything"] = "Nothing narrows this: tick that every workflow is meant, or go back and filter."
    if faults:
        return await _render_preview(choice, faults, reason=reason, with_children=with_children)
    result = await _run_selection(choice, reason=reason or None, with_children=with_children)
    if not result.refused_ids:
        return redirect_with_success(
            _describe_result(result.done_count, choice.operation_text), choice.filters.build_url()
        )
    return await render_page(
        "workflows/result.html",
        choice=choice,
        result=result,
        told=_describe_result(result.done_count, choice.operation_text),
    )


async def _render_preview(
    selection: BulkSelection, faults: Mapping[str, str] | None = None, **form_values: object
) -> Response:
    """Return the page that asks whether it is meant."""
    reads = get_services().store.queries
    if selection.ids is not None:
        several = await reads.get_many(selection.ids)
        first: Sequence[Instance] = [several[id] for id in selection.ids if id in several][:PREVIEW_SIZE]
        total, is_at_least = len(several), False
    else:
        found = await reads.search(_build_query(selection, limit=PREVIEW_SIZE))
        first, total, is_at_least = found.instances, found.total, found.total_is_at_least
    values: dict[str, Any] = {
        "choice": replace(selection, filters=selection.filters.with_error_message(first)),
        "first": first,
        "total": total,
        "is_at_least": is_at_least,
        "most": MAX_INSTANCES,
    }
    values |= {"faults": faults or {}, "reason": "", "with_children": False, **form_values}
    return await render_page("workflows/bulk.html", status=422 if faults else 200, **values)


async def _run_selection(selection: BulkSelection, *, reason: str | None, with_children: bool) -> BulkSummary:
    operate = bind_operation(
        get_services().operations,
        selection.name,
        username=get_principal().username,
        reason=reason if selection.operation_text.takes_reason else None,
        with_children=with_children,
    )
    result = BulkSummary()
    async for id, refusal in run_operation(operate, _iterate_ids(selection)):
        result.count_workflow(id, refusal)
    return result


async def _iterate_ids(selection: BulkSelection) -> AsyncIterator[Sequence[int]]:
    if selection.ids is not None:
        yield selection.ids
        return
    async for found in search_pages(get_services().store, _build_query(selection), limit=MAX_INSTANCES):
        yield [instance.id for instance in found]


def _build_query(selection: BulkSelection, *, limit: int = PREVIEW_SIZE) -> SearchQuery:
    """Return what is looked for in the order of ids, in which no operation moves anything."""
    wanted = selection.filters.valid_query
    before = selection.created_before if wanted.created_to is None else min(wanted.created_to, selection.created_before)
    return replace(wanted, order_by="id", descending=False, cursor=None, created_to=before, limit=limit)


def _read_selection(name: str, ids: Sequence[str] | None, query_string: str, created_before: int) -> BulkSelection:
    """Return on what an operation is done.

    Raises:
        ProblemError: 400 if the operation is not known, an id is none, or the filters have faults.
    """
    faults: dict[str, str] = {}
    found = [parse_number(id) for id in ids or ()]
    if name not in OPERATIONS:
        faults["operation"] = f"is none of {', '.join(OPERATIONS)}"
    if ids is not None and (len(ids) > MAX_SELECTED or None in found):
        faults["id"] = f"has to be the id of a workflow, for at most {MAX_SELECTED} of them"
    filters = read_filters(_parse_filter_pairs(query_string))
    if faults := {**filters.faults, **faults}:
        raise ProblemError(build_faults_problem(faults))
    ticked = None if ids is None else tuple(dict.fromkeys(id for id in found if id is not None))
    return BulkSelection(cast("BulkOperation", name), ticked, filters, created_before)


def _parse_filter_pairs(query_string: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query_string, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise ProblemError(build_faults_problem({"fits": f"has more than {MAX_FIELDS:,} fields"})) from None


def _parse_before(text: str) -> int:
    before = parse_number(text)
    if before is None:
        raise ProblemError(build_faults_problem({"before": "is not the time of a preview: open the preview again"}))
    return before


def _describe_result(count: int, operation_text: OperationText) -> str:
    return f"{count:,} workflow{' was' if count == 1 else 's were'} {operation_text.past_participle}."
