"""The inbox: workflows waiting for a decision, and the forms that answer them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from quart import Blueprint, Response, request
from werkzeug.wrappers import Response as Redirection

from flowlet.accounts.roles import Role
from flowlet.definition.definition import Definition, StateDefinition
from flowlet.definition.versions.state_names import StateNames
from flowlet.errors import VariablesError
from flowlet.instance.instance import Instance
from flowlet.operations.people.inbox import InboxRequest, Whose, read_person_inbox
from flowlet.operations.permitted import Operation
from flowlet.operations.service import Operations
from flowlet.store.people.asked_questions import Person
from flowlet.store.reports.inbox import Inbox, InboxGroup, WaitingInstance
from flowlet.web.auth import get_principal, require_role
from flowlet.web.console import times
from flowlet.web.console.forms.actions import (
    RejectedForm,
    build_answer_controls,
    build_answer_operation,
    read_version,
    run_operation,
)
from flowlet.web.console.forms.model_form import FormField, build_fields, format_initial_texts, read_submission
from flowlet.web.console.layout import render_page
from flowlet.web.console.question_people import QuestionPeople, build_question_people
from flowlet.web.console.shown_values import Subject, build_subject
from flowlet.web.forms import read_request_form
from flowlet.web.problems import ProblemError, build_faults_problem
from flowlet.web.services import get_services

__all__ = ["blueprint"]

QUESTIONS_SHOWN = 25
SORTS = {"": "Nearest deadline first", "oldest": "Oldest first"}
SCOPES = {"": "All", "mine": "Mine", "teams": "My teams"}
FILTER_NAMES = ("type", "state", "sort", "whose", "cursor")
HOUR_MICROSECONDS = 3_600 * times.SECOND_MICROSECONDS
NEAR_DEADLINE_MICROSECONDS = 24 * HOUR_MICROSECONDS

blueprint = Blueprint("inbox", __name__)


@dataclass(frozen=True, slots=True)
class InboxFilter:
    """The filter, order and page of the inbox in its URL."""

    type: str = ""
    state: str = ""
    sort: str = ""
    whose: str = ""
    cursor: str = ""

    def build_url(self, path: str = "/inbox", **changes: str) -> str:
        """Return the URL of this filter with some changes; of its first page, unless the changes have a cursor."""
        other = replace(self, **{"cursor": "", **changes})
        pairs = {name: getattr(other, name) for name in FILTER_NAMES}
        given = urlencode({name: value for name, value in pairs.items() if value})
        return f"{path}?{given}" if given else path

    @property
    def chips(self) -> list[tuple[str, str]]:
        """The active filters, each with the URL without it."""
        pairs = (("type", self.type), ("state", self.state))
        return [(f"{name.capitalize()}: {value}", self.build_url(**{name: ""})) for name, value in pairs if value]

    def is_selected(self, group: InboxGroup, names: StateNames) -> bool:
        """Return whether the filter selects this group, whose state has its present name."""
        return (self.type, names.resolve(self.type, self.state)) == (group.type, group.state)


@dataclass(frozen=True, slots=True)
class InboxRow:
    """A waiting workflow as the page shows it.

    Attributes:
        since: When it began to wait, in microseconds since 1970 UTC.
        subject: What is decided.
        state: Its state; None if this process has not loaded it.
        may_skip_form: Whether it can be answered without a value: it has no form, or no required field.
        may_answer: Whether the user may answer it here.
        refusal: Why the user may not, although an operator; None for no such reason.
        people: Whose question it is, and what the user may assign; None for viewers.
        tone: The colour of its deadline: "err" within an hour or after it, "warn" within a day.
        deadline_outcome: The answer that the deadline gives.
        fields: The fields of its form.
        faults: The faults of its form that belong to no field.
        version: The workflow's version that its form was rendered for.
        is_rejected: Whether its form is shown again because of faults.
    """

    instance: Instance
    since: int
    subject: Subject
    state: StateDefinition | None
    may_skip_form: bool
    may_answer: bool
    refusal: str | None
    people: QuestionPeople | None
    tone: str
    deadline_outcome: str
    fields: list[FormField]
    faults: list[str]
    version: int
    is_rejected: bool


@blueprint.get("/inbox")
@require_role(Role.VIEWER)
async def show_inbox() -> Response:
    """Show a page of the waiting workflows."""
    return await _render_inbox(_read_inbox_filter())


@blueprint.post("/inbox/<int:id>/answer")
@require_role(Role.OPERATOR)
async def answer_question(id: int) -> Response | Redirection:
    """Answer a workflow, and return to the inbox."""
    inbox_filter, given = _read_inbox_filter(), await read_request_form()
    instance = await get_services().store.queries.get(id)
    _, state = _find_definition(instance)
    sent, choice = read_submission(build_answer_controls(state), given), given.get_text("choice")
    act = build_answer_operation(instance, given, sent)
    labels = {edge.target: edge.label or edge.target for edge in state.transitions} if state else {}
    message, url = f"Answered #{id}: {labels.get(choice, choice)}.", inbox_filter.build_url(cursor=inbox_filter.cursor)
    try:
        return await run_operation(instance, given, act, message, url)
    except VariablesError as error:
        return await _render_inbox(
            inbox_filter, RejectedForm("answer", error.faults, sent.texts, read_version(given)), instance
        )


@blueprint.post("/inbox/<int:id>/assign")
@require_role(Role.OPERATOR)
async def assign_question(id: int) -> Redirection:
    """Assign a question to a user, or take the assignment back, and return to the inbox."""
    inbox_filter, given = _read_inbox_filter(), await read_request_form()
    instance = await get_services().store.queries.get(id)
    assignee = given.get_text("assignee").strip() or None

    async def assign(operations: Operations, id: int, username: str, version: int) -> Instance:
        is_admin = get_principal().role is Role.ADMIN
        return await operations.decisions.assign(
            id, assignee, username=username, expected_version=version, is_admin=is_admin
        )

    message = f"Assigned #{id} to {assignee}." if assignee else f"#{id} is assigned to nobody."
    return await run_operation(instance, given, assign, message, inbox_filter.build_url(cursor=inbox_filter.cursor))


def _read_inbox_filter() -> InboxFilter:
    inbox_filter = InboxFilter(**{name: request.args.get(name, "") for name in FILTER_NAMES})
    for name, value, values in (("sort", inbox_filter.sort, SORTS), ("whose", inbox_filter.whose, SCOPES)):
        if value not in values:
            known = " or ".join(filter(None, values))
            raise ProblemError(build_faults_problem({name: f"must be {known}, or left out, not {value[:80]!r}"}))
    return inbox_filter


async def _render_inbox(
    inbox_filter: InboxFilter, rejected_form: RejectedForm | None = None, rejected_instance: Instance | None = None
) -> Response:
    """Return the page; with status 422 if the form of an instance has faults."""
    here, me = get_services(), get_principal()
    names = await here.store.state_names.read()
    person = await here.operations.decisions.find_person(me.person, is_admin=me.role is Role.ADMIN)
    page = InboxRequest(
        Whose(inbox_filter.whose or "all"),
        inbox_filter.type or None,
        inbox_filter.state or None,
        by_deadline=not inbox_filter.sort,
        limit=QUESTIONS_SHOWN,
        cursor=inbox_filter.cursor or None,
    )
    found = await read_person_inbox(here.store, person, page)
    items = [
        _build_item(
            one, person, rejected_form if rejected_instance and one.instance.id == rejected_instance.id else None
        )
        for one in found.waiting_instances
    ]
    if rejected_instance and rejected_form and not any(item.is_rejected for item in items):
        waiting = WaitingInstance(rejected_instance, rejected_instance.modified_us)
        items.insert(0, _build_item(waiting, person, rejected_form))
    return await render_page(
        "inbox/inbox.html",
        status=422 if rejected_form else 200,
        inbox_filter=inbox_filter,
        sorts=SORTS,
        scopes=SCOPES,
        teams=sorted(person.teams),
        inbox=found,
        names=names,
        items=items,
        **_build_links(inbox_filter, found),
    )


def _build_links(inbox_filter: InboxFilter, found: Inbox) -> Mapping[str, Any]:
    return {
        "current_url": inbox_filter.build_url(cursor=inbox_filter.cursor),
        "next_url": inbox_filter.build_url(cursor=found.next_cursor) if found.next_cursor else None,
        "event_filter": urlencode({"workflowType": inbox_filter.type} if inbox_filter.type else {}),
    }


def _build_item(question: WaitingInstance, person: Person, rejected_form: RejectedForm | None) -> InboxRow:
    instance = question.instance
    definition, state = _find_definition(instance)
    parts = build_answer_controls(state)
    shown = {**format_initial_texts(parts), **(rejected_form.texts if rejected_form else {})}
    own, rest = build_fields(parts, shown, rejected_form.faults if rejected_form else {})
    operations = get_services().operations
    is_operator = get_principal().role.is_at_least(Role.OPERATOR)
    is_open = Operation.ANSWER in operations.get_permitted_operations(instance).operations
    refusal = operations.decisions.explain_refusal(instance, question.question, person)
    return InboxRow(
        instance,
        question.since,
        build_subject(instance, definition, state),
        state,
        may_skip_form=not (state and state.form)
        or not any(one.is_required() for one in state.form.model_fields.values()),
        may_answer=is_open and is_operator and refusal is None,
        refusal=refusal if is_operator and is_open else None,
        people=build_question_people(question.question, person, definition, state) if is_operator and is_open else None,
        tone=_choose_tone(instance.next_activation_us),
        deadline_outcome=_describe_deadline_outcome(definition, state),
        fields=own,
        faults=rest,
        version=rejected_form.version if rejected_form else instance.version,
        is_rejected=rejected_form is not None,
    )


def _find_definition(instance: Instance) -> tuple[Definition | None, StateDefinition | None]:
    definition = get_services().registry.find_definition(instance.type)
    return definition, definition.find_state(instance.state) if definition else None


def _choose_tone(deadline: int | None) -> str:
    left = None if deadline is None else deadline - times.now()
    if left is None or left > NEAR_DEADLINE_MICROSECONDS:
        return "idle"
    return "warn" if left > HOUR_MICROSECONDS else "err"


def _describe_deadline_outcome(definition: Definition | None, state: StateDefinition | None) -> str:
    """Return the transition of the deadline: its label, or the state that it leads to."""
    if definition is None or state is None or state.on_deadline is None:
        return ""
    labels = [edge.label for edge in state.transitions if edge.target == state.on_deadline]
    return next(filter(None, labels), state.on_deadline)
