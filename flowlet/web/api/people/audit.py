"""The audit: who did what, for admins."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import ConfigDict, Field
from quart import Blueprint, Response

from flowlet.accounts.audit import AuditAction
from flowlet.accounts.roles import Role
from flowlet.store.people.audit import AuditQuery
from flowlet.text import MAX_INTEGER
from flowlet.web.auth import require_role
from flowlet.web.field_types import SearchText
from flowlet.web.json_responses import build_json_response
from flowlet.web.openapi.document import describe_route
from flowlet.web.parsing import read_query
from flowlet.web.schemas import ApiModel, RequestModel, Timestamp
from flowlet.web.services import get_services

__all__ = ["blueprint"]

MAX_LISTED_RECORDS = 1_000

blueprint = Blueprint("audit", __name__)


class AuditListQuery(RequestModel):
    """A page of the audit.

    Attributes:
        person: Only what this user did, or an API key on behalf of this person.
        action: Only this action.
        before: Only entries with a lower id: the id of the last entry of the page before.
        limit: The largest number of entries.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"person": "admin", "action": "user.created"}]})

    person: SearchText = None
    action: AuditAction | None = None
    before: int | None = Field(None, ge=1, le=MAX_INTEGER)
    limit: int = Field(100, ge=1, le=MAX_LISTED_RECORDS)


class AuditEntryResponse(ApiModel):
    """An entry of the audit.

    Attributes:
        id: Its id; later entries have higher ones.
        at: When it was done.
        actor: The user, or the owner of the API key. For a refused login the user that was named, or "" for none.
        on_behalf_of: The person for whom an API key acted; null for its owner.
        via: The entry point: "console", "cli", "api", "key" with the id of an API key, or "code".
        action: What was done, such as "workflow.answered" or "user.created".
        subject: The workflow's id, or the name of the user, API key, team or schedule.
        detail: More, in words; null for nothing. It has no variables and no secrets.
    """

    id: int
    at: Timestamp
    actor: str
    on_behalf_of: str | None
    via: str
    action: str
    subject: str
    detail: str | None


@blueprint.get("/api/audit")
@require_role(Role.ADMIN)
@describe_route(query=AuditListQuery, answers={200: list[AuditEntryResponse]})
async def list_audit() -> Response:
    """Return who did what, newest first: operations, logins, changes of users, keys, teams, schedules and limits."""
    given = read_query(AuditListQuery)
    query = AuditQuery(given.person, given.action, given.before, given.limit)
    found = await get_services().store.audit.list_page(query)
    return build_json_response([AuditEntryResponse.model_validate(asdict(one)) for one in found])
