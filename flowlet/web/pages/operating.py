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

from flowlet.instances import Instance
from flowlet.roles import Role
from flowlet.store.search import SearchQuery
from flowlet.texts import number_in
from flowlet.web.bulk import MOST_INSTANCES, BulkOperation, Refusal, carry_out, operation, pages
from flowlet.web.forms import FIELD_LIMIT, MOST_SENT, form
from flowlet.web.guards import needs, principal
from flowlet.web.pages.filters import Filters, read_filters
from flowlet.web.pages.frame import page
from flowlet.web.pages.notices import done, refused
from flowlet.web.pages.times import now
from flowlet.web.problems import ProblemError, faulty
from flowlet.web.services import services

__all__ = ["OPERATIONS", "blueprint"]

PREVIEWED = 10
MOST_TICKED = 500
IDS_SHOWN = 10
REASON_LENGTH = 1_000


@dataclass(frozen=True, slots=True)
class Doing:
    """An operation in the words of the page.

    Attributes:
        label: What it is called.
        past: What has been done, as in "12 workflows were paused".
        takes_reason: Whether a reason goes into the history.
        tone: "danger" where it cannot be taken back.
    """

    label: str
    past: str
    takes_reason: bool = False
    tone: str = ""


OPERATIONS: Mapping[str, Doing] = {
    "pause": Doing("Pause", "paused", takes_reason=True),
    "resume": Doing("Resume", "resumed"),
    "retry": Doing("Retry", "retried"),
    "wake": Doing("Run now", "made due at once"),
    "cancel": Doing("Cancel", "cancelled", takes_reason=True, tone="danger"),
}


@dataclass(frozen=True, slots=True)
class Choice:
    """On what an operation is done.

    Attributes:
        name: The operation's.
        ids: Those that were ticked; None for all that fit the filters.
        filters: What was looked for, and where the way back leads.
        before: What was created at this time or later is left alone; in microseconds since 1970 UTC.
    """

    name: BulkOperation
    ids: tuple[int, ...] | None
    filters: Filters
    before: int

    @property
    def doing(self) -> Doing:
        """The operation in words."""
        return OPERATIONS[self.name]

    @property
    def is_everything(self) -> bool:
        """Whether nothing narrows it."""
        return self.ids is None and self.filters.is_empty

    @property
    def fits(self) -> str:
        """The filters as the query of an address."""
        return self.filters.address("")[1:]


@dataclass
class Result:
    """What has been done, and what refused by why: how many, and the ids of the first ones."""

    done: int = 0
    refused: dict[str, list[int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, id: int, refusal: Refusal | None) -> None:
        """Count one workflow."""
        if refusal is None:
            self.done += 1
            return
        why = getattr(refusal, "why", "it does not exist")
        self.counts[why] = self.counts.get(why, 0) + 1
        ids = self.refused.setdefault(why, [])
        ids += [id] if len(ids) < IDS_SHOWN else []

    @property
    def groups(self) -> list[tuple[str, int, list[int]]]:
        """Each reason to refuse, how often it was given, and the first ids: the most frequent first."""
        return sorted(((why, self.counts[why], ids) for why, ids in self.refused.items()), key=lambda group: -group[1])


blueprint = Blueprint("workflow_bulk", __name__)


@blueprint.get("/workflows/bulk")
@needs(Role.OPERATOR)
async def preview() -> Response | Redirection:
    """Show what an operation would be done to, and ask whether it is meant."""
    given = request.args
    is_ticked = given.get("which", "all") == "ticked"
    choice = _choice(
        given.get("operation", ""), given.getlist("id") if is_ticked else None, given.get("fits", ""), now()
    )
    if choice.ids == ():
        return refused("No workflow is ticked.", choice.filters.address())
    return await _asked(choice)


@blueprint.post("/workflows/bulk")
@needs(Role.OPERATOR)
async def operate() -> Response | Redirection:
    """Do it, and tell what refused."""
    given = await form()
    ids = [each for each in given.text("ids").split(",") if each] if given.text("which") == "ticked" else None
    choice = _choice(given.text("operation"), ids, given.text("fits"), _before(given.text("before")))
    reason, with_children = given.text("reason").strip(), given.text("with_children") == "true"
    if choice.ids == ():
        return refused("No workflow is ticked.", choice.filters.address())
    faults = {}
    if len(reason) > REASON_LENGTH:
        faults["reason"] = f"has {len(reason):,} characters, and may have {REASON_LENGTH:,}"
    if choice.is_everything and given.text("everything") != "true":
        faults["everything"] = "Nothing narrows this: tick that every workflow is meant, or go back and filter."
    if faults:
        return await _asked(choice, faults, reason=reason, with_children=with_children)
    result = await _carried_out(choice, reason=reason or None, with_children=with_children)
    if not result.refused:
        return done(_told(result.done, choice.doing), choice.filters.address())
    return await page("workflows/result.html", choice=choice, result=result, told=_told(result.done, choice.doing))


async def _asked(choice: Choice, faults: Mapping[str, str] | None = None, **given: object) -> Response:
    """Return the page that asks whether it is meant."""
    reads = services().store.reads
    if choice.ids is not None:
        several = await reads.several(choice.ids)
        first: Sequence[Instance] = [several[id] for id in choice.ids if id in several][:PREVIEWED]
        total, is_at_least = len(several), False
    else:
        found = await reads.search(_query(choice, limit=PREVIEWED))
        first, total, is_at_least = found.instances, found.total, found.total_is_at_least
    values: dict[str, Any] = {
        "choice": replace(choice, filters=choice.filters.naming(first)),
        "first": first,
        "total": total,
        "is_at_least": is_at_least,
        "most": MOST_INSTANCES,
    }
    values |= {"faults": faults or {}, "reason": "", "with_children": False, **given}
    return await page("workflows/bulk.html", status=422 if faults else 200, **values)


async def _carried_out(choice: Choice, *, reason: str | None, with_children: bool) -> Result:
    operate = operation(
        services().operations,
        choice.name,
        username=principal().username,
        reason=reason if choice.doing.takes_reason else None,
        with_children=with_children,
    )
    result = Result()
    async for id, refusal in carry_out(operate, _ids(choice)):
        result.add(id, refusal)
    return result


async def _ids(choice: Choice) -> AsyncIterator[Sequence[int]]:
    if choice.ids is not None:
        yield choice.ids
        return
    async for found in pages(services().store, _query(choice), limit=MOST_INSTANCES):
        yield [instance.id for instance in found]


def _query(choice: Choice, *, limit: int = PREVIEWED) -> SearchQuery:
    """Return what is looked for in the order of ids, in which no operation moves anything."""
    wanted = choice.filters.wanted
    before = choice.before if wanted.created_to is None else min(wanted.created_to, choice.before)
    return replace(wanted, order_by="id", descending=False, cursor=None, created_to=before, limit=limit)


def _choice(name: str, ids: Sequence[str] | None, fits: str, before: int) -> Choice:
    """Return on what an operation is done.

    Raises:
        ProblemError: 400 if the operation is not known, an id is none, or the filters have faults.
    """
    faults: dict[str, str] = {}
    found = [number_in(id, most=MOST_SENT) for id in ids or ()]
    if name not in OPERATIONS:
        faults["operation"] = f"is none of {', '.join(OPERATIONS)}"
    if ids is not None and (len(ids) > MOST_TICKED or None in found):
        faults["id"] = f"has to be the id of a workflow, for at most {MOST_TICKED} of them"
    filters = read_filters(_pairs(fits))
    if faults := {**filters.faults, **faults}:
        raise ProblemError(faulty(faults))
    ticked = None if ids is None else tuple(dict.fromkeys(id for id in found if id is not None))
    return Choice(cast("BulkOperation", name), ticked, filters, before)


def _pairs(fits: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(fits, max_num_fields=FIELD_LIMIT)
    except ValueError:
        raise ProblemError(faulty({"fits": f"has more than {FIELD_LIMIT:,} fields"})) from None


def _before(text: str) -> int:
    before = number_in(text, most=MOST_SENT)
    if before is None:
        raise ProblemError(faulty({"before": "is not the time of a preview: open the preview again"}))
    return before


def _told(count: int, doing: Doing) -> str:
    return f"{count:,} workflow{' was' if count == 1 else 's were'} {doing.past}."
