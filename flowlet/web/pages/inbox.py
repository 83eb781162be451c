"""The inbox: what waits for a person, and the answers to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from quart import Blueprint, Response, request
from werkzeug.wrappers import Response as Redirection

from flowlet.definition import Definition, StateDefinition
from flowlet.errors import UnknownWorkflowError, VariablesError
from flowlet.instances import Instance
from flowlet.permitted import Operation
from flowlet.roles import Role
from flowlet.store.reports.inbox import Group, Inbox, Question, read_inbox
from flowlet.web.forms import form
from flowlet.web.guards import needs, principal
from flowlet.web.pages import times
from flowlet.web.pages.acting import Mending, acted, answer_controls, answering, version_of
from flowlet.web.pages.frame import page
from flowlet.web.pages.model_forms import Field, fields, read, texts
from flowlet.web.problems import ProblemError, faulty
from flowlet.web.services import services

__all__ = ["blueprint"]

SHOWN = 25
SORTS = {"": "Nearest deadline first", "oldest": "Longest untouched first"}
HOUR = 3_600 * times.SECOND
NEAR = 24 * HOUR

blueprint = Blueprint("inbox", __name__)


@dataclass(frozen=True, slots=True)
class Look:
    """What is looked at, as the address says it."""

    type: str = ""
    state: str = ""
    sort: str = ""
    cursor: str = ""

    def address(self, path: str = "/inbox", **changes: str) -> str:
        """Return the address of this look, or of another one; which begins with its first page unless told."""
        other = replace(self, **{"cursor": "", **changes})
        pairs = {name: getattr(other, name) for name in ("type", "state", "sort", "cursor")}
        given = urlencode({name: value for name, value in pairs.items() if value})
        return f"{path}?{given}" if given else path

    @property
    def chips(self) -> list[tuple[str, str]]:
        """What is filtered by, and the address without it."""
        pairs = (("type", self.type), ("state", self.state))
        return [(f"{name.capitalize()}: {value}", self.address(**{name: ""})) for name, value in pairs if value]

    def is_at(self, group: Group) -> bool:
        """Return whether it is this group that is looked at."""
        return (self.type, self.state) == (group.type, group.state)


@dataclass(frozen=True, slots=True)
class Entry:
    """A workflow that waits, as the page shows it.

    Attributes:
        state: As this process knows it; None where it does not.
        is_short: Whether it can be answered without a value: it has no form, or one with nothing that has to be given.
        may_answer: Whether who looks may answer it here.
        tone: Of its deadline: "err" where it is over or within the hour, "warn" within the day.
        fate: What becomes of it at the deadline.
        fields: Of its form.
        faults: Of its form, and of none of its fields.
        version: What its form is about.
        is_mended: Whether its form is shown again.
    """

    instance: Instance
    since: int
    state: StateDefinition | None
    is_short: bool
    may_answer: bool
    tone: str
    fate: str
    fields: list[Field]
    faults: list[str]
    version: int
    is_mended: bool


@blueprint.get("/inbox")
@needs(Role.VIEWER)
async def show() -> Response:
    """Show what waits, a page of it."""
    return await _page(_look())


@blueprint.post("/inbox/<int:id>/answer")
@needs(Role.OPERATOR)
async def answer(id: int) -> Response | Redirection:
    """Answer one, and go on with the others."""
    look, given = _look(), await form()
    instance = await services().store.reads.get(id)
    _, state = _known(instance)
    sent, choice = read(answer_controls(state), given), given.text("choice")
    act = answering(instance, given, sent)
    labels = {edge.target: edge.label or edge.target for edge in state.transitions} if state else {}
    told = f"Answered #{id}: {labels.get(choice, choice)}."
    try:
        return await acted(instance, given, act, told, look.address(cursor=look.cursor))
    except VariablesError as error:
        return await _page(look, Mending("answer", error.faults, sent.texts, version_of(given)), instance)


def _look() -> Look:
    look = Look(**{name: request.args.get(name, "") for name in ("type", "state", "sort", "cursor")})
    if look.sort not in SORTS:
        known = " or ".join(filter(None, SORTS))
        raise ProblemError(faulty({"sort": f"{look.sort[:80]!r} is no order. It is {known}, or left out."}))
    return look


async def _page(look: Look, mending: Mending | None = None, mended: Instance | None = None) -> Response:
    """Return the page; with status 422 where one form, of the instance given, has to be mended."""
    found = await read_inbox(
        services().store.connections,
        type=look.type or None,
        state=look.state or None,
        by_deadline=not look.sort,
        limit=SHOWN,
        cursor=look.cursor or None,
    )
    entries = [_entry(one, mending if mended and one.instance.id == mended.id else None) for one in found.questions]
    if mended and mending and not any(entry.is_mended for entry in entries):
        entries.insert(0, _entry(Question(mended, mended.modified), mending))
    return await page(
        "inbox/inbox.html",
        status=422 if mending else 200,
        look=look,
        sorts=SORTS,
        found=found,
        entries=entries,
        **_ways(look, found),
    )


def _ways(look: Look, found: Inbox) -> Mapping[str, Any]:
    return {
        "here": look.address(cursor=look.cursor),
        "older": look.address(cursor=found.next_cursor) if found.next_cursor else None,
        "events": urlencode({"workflowType": look.type} if look.type else {}),
    }


def _entry(question: Question, mending: Mending | None) -> Entry:
    instance = question.instance
    definition, state = _known(instance)
    parts = answer_controls(state)
    shown = {**texts(parts), **(mending.texts if mending else {})}
    own, rest = fields(parts, shown, mending.faults if mending else {})
    may_answer = Operation.ANSWER in services().operations.permitted(instance).operations
    return Entry(
        instance,
        question.since,
        state,
        is_short=not (state and state.form) or not any(one.is_required() for one in state.form.model_fields.values()),
        may_answer=may_answer and principal().role.allows(Role.OPERATOR),
        tone=_tone(instance.next_activation),
        fate=_fate(definition, state),
        fields=own,
        faults=rest,
        version=mending.version if mending else instance.version,
        is_mended=mending is not None,
    )


def _known(instance: Instance) -> tuple[Definition | None, StateDefinition | None]:
    try:
        definition = services().registry.definition(instance.type)
    except UnknownWorkflowError:
        return None, None
    return definition, definition.states.get(instance.state)


def _tone(deadline: int | None) -> str:
    left = None if deadline is None else deadline - times.now()
    if left is None or left > NEAR:
        return "idle"
    return "warn" if left > HOUR else "err"


def _fate(definition: Definition | None, state: StateDefinition | None) -> str:
    """Return what happens at the deadline: the label of the transition, or the state that it leads to."""
    if definition is None or state is None or state.on_deadline is None:
        return ""
    labels = [edge.label for edge in state.transitions if edge.target == state.on_deadline]
    return next(filter(None, labels), state.on_deadline)
