"""The inbox: the workflows that wait for a person, and what each of them asks."""

from __future__ import annotations

from pydantic import ConfigDict, Field
from quart import Blueprint, Response

from flowlet.accounts.roles import Role
from flowlet.operations.people.inbox import InboxRequest, Whose, read_person_inbox
from flowlet.operations.permitted import Operation
from flowlet.store.people.asked_questions import Person
from flowlet.store.reports.inbox import WaitingInstance
from flowlet.web.auth import get_principal, require_role
from flowlet.web.field_types import Cursor, SearchText
from flowlet.web.json_responses import build_json_response
from flowlet.web.openapi.document import describe_route
from flowlet.web.parsing import read_query
from flowlet.web.schemas import ApiModel, RequestModel, Timestamp
from flowlet.web.services import get_services

__all__ = ["blueprint"]

blueprint = Blueprint("inbox_api", __name__)


class InboxQuery(RequestModel):
    """A page of the inbox.

    Attributes:
        whose: All questions, those that are assigned to you, or those that one of your teams may answer.
        workflow_type: The only workflow.
        state: The only state, by any of its names.
        oldest_first: Whether what has waited for the longest time comes first; else the nearest deadline. What has
            no entry in the inbox, which the doctor reports, is only in the order of deadlines.
        limit: The largest number of entries.
        cursor: The `nextCursor` of the page before.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"whose": "teams", "limit": 10}]})

    whose: Whose = Whose.ALL
    workflow_type: SearchText = None
    state: SearchText = None
    oldest_first: bool = False
    limit: int = Field(25, ge=1, le=1_000)
    cursor: Cursor = None


class VoteResponse(ApiModel):
    """What a person has chosen in a state that several persons decide.

    Attributes:
        person: Who has chosen.
        choice: The chosen state.
        at: When the person chose it.
    """

    person: str
    choice: str
    at: Timestamp


class InboxEntryResponse(ApiModel):
    """A workflow that waits for a person.

    Attributes:
        id: The workflow's id.
        external_id: Unique over all workflows.
        business_key: A key to find it by.
        workflow_type: The name of its definition.
        state: The name of the manual state.
        version: What `expectedVersion` of an answer is compared with.
        title: The question in one line; null for none.
        summary: The workflow in one line; null for none.
        since: When it entered the state.
        deadline: When it goes on without an answer; null for never.
        teams: The teams whose members may answer; empty for every operator.
        assignee: The user whom it is assigned to; null for none.
        reminders: How often it was reminded of.
        escalated_to: The teams that were added because no answer had come.
        votes: What persons have chosen so far, where several decide.
        choices: The states that may be chosen; empty if the definition is not loaded.
        refusal: Why you cannot answer it; null if you can.
    """

    id: int
    external_id: str
    business_key: str
    workflow_type: str
    state: str
    version: int
    title: str | None
    summary: str | None
    since: Timestamp
    deadline: Timestamp | None
    teams: tuple[str, ...]
    assignee: str | None
    reminders: int
    escalated_to: tuple[str, ...]
    votes: tuple[VoteResponse, ...]
    choices: tuple[str, ...]
    refusal: str | None


class InboxResponse(ApiModel):
    """A page of the inbox.

    Attributes:
        entries: The workflows.
        total: How many there are on all pages together, counted up to 10,001.
        next_cursor: The cursor of the next page; null on the last one.
    """

    entries: tuple[InboxEntryResponse, ...]
    total: int
    next_cursor: str | None


@blueprint.get("/api/inbox")
@require_role(Role.VIEWER)
@describe_route(query=InboxQuery, answers={200: InboxResponse})
async def list_inbox() -> Response:
    """Return the workflows that wait for a person, the nearest deadline first: of all, of your teams, or yours."""
    given, me, here = read_query(InboxQuery), get_principal(), get_services()
    person = await here.operations.decisions.find_person(me.person, is_admin=me.role is Role.ADMIN)
    request = InboxRequest(
        given.whose, given.workflow_type, given.state, not given.oldest_first, given.limit, given.cursor
    )
    found = await read_person_inbox(here.store, person, request)
    entries = tuple(_build_entry(one, person) for one in found.waiting_instances)
    return build_json_response(InboxResponse(entries=entries, total=found.total, next_cursor=found.next_cursor))


def _build_entry(waiting: WaitingInstance, person: Person) -> InboxEntryResponse:
    instance, entry, operations = waiting.instance, waiting.entry, get_services().operations
    permitted = operations.get_permitted_operations(instance)
    return InboxEntryResponse(
        id=instance.id,
        external_id=instance.external_id,
        business_key=instance.key,
        workflow_type=instance.type,
        state=instance.state,
        version=instance.version,
        title=entry.title if entry else None,
        summary=entry.summary if entry else None,
        since=waiting.since,
        deadline=instance.next_activation_us,
        teams=entry.teams if entry else (),
        assignee=entry.assignee if entry else None,
        reminders=entry.reminder_count if entry else 0,
        escalated_to=entry.escalated_to if entry else (),
        votes=tuple(VoteResponse(person=one.person, choice=one.choice, at=one.at_us) for one in waiting.votes),
        choices=tuple(permitted.states) if Operation.ANSWER in permitted.operations else (),
        refusal=_explain_refusal(waiting, person),
    )


def _explain_refusal(waiting: WaitingInstance, person: Person) -> str | None:
    me = get_principal()
    if not me.role.is_at_least(Role.OPERATOR):
        return f"answers require the role {Role.OPERATOR}; {me.person} has the role {me.role}"
    return get_services().operations.decisions.explain_refusal(waiting.instance, waiting.question, person)
