"""Teams, and the assignment of questions to users."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from pydantic import ConfigDict, Field
from quart import Blueprint, Response

from flowlet.accounts.roles import Role
from flowlet.store.people.teams import MAX_MEMBERS, TeamRecord
from flowlet.web.api.requests import VersionQuery
from flowlet.web.api.responses import OperationResponse
from flowlet.web.auth import get_principal, require_role
from flowlet.web.field_types import ExpectedVersion, Username
from flowlet.web.json_responses import build_json_response
from flowlet.web.openapi.document import describe_route
from flowlet.web.parsing import read_body, read_query
from flowlet.web.schemas import ApiModel, RequestModel, Timestamp
from flowlet.web.services import get_services

__all__ = ["blueprint"]

blueprint = Blueprint("teams", __name__)


class TeamResponse(ApiModel):
    """A team.

    Attributes:
        name: Its name.
        members: The usernames of its members, in their order.
        version: Raised when its members change; ``expectedVersion`` is compared with it.
        created: When the team was created.
        created_by: The user who created it.
        modified: When its members last changed.
        modified_by: The user who changed them.
    """

    name: str
    members: tuple[str, ...]
    version: int
    created: Timestamp
    created_by: str
    modified: Timestamp
    modified_by: str


class SetTeamRequest(RequestModel):
    """The members of a team.

    Attributes:
        members: Their usernames; those that are left out are no members any more.
        expected_version: The team's version that you read, 0 for a team that does not exist; 409 if it is another one.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"members": ["admin"]}]})

    members: Annotated[list[Username], Field(max_length=MAX_MEMBERS)]
    expected_version: ExpectedVersion = None


class AssignRequest(RequestModel):
    """The assignment of a question.

    Attributes:
        assignee: The user, who may answer it then; left out or null to take the assignment back.
        expected_version: The version that you read; 409 if the workflow has another one by now.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"assignee": "admin"}]})

    assignee: Username | None = None
    expected_version: ExpectedVersion = None


@blueprint.get("/api/teams")
@require_role(Role.VIEWER)
@describe_route(answers={200: list[TeamResponse]})
async def list_teams() -> Response:
    """Return every team, by name."""
    found = await get_services().operations.teams.list_all()
    return build_json_response([_build_team_response(one) for one in found])


@blueprint.put("/api/teams/<name>")
@require_role(Role.ADMIN)
@describe_route(body=SetTeamRequest, answers={200: TeamResponse}, problems=(404, 409))
async def set_team(name: str) -> Response:
    """Create a team with these members, or replace the members of one. A user who leaves it loses its questions."""
    given = await read_body(SetTeamRequest)
    changed = await get_services().operations.teams.set_members(
        name, given.members, username=get_principal().username, expected_version=given.expected_version
    )
    return build_json_response(_build_team_response(changed))


@blueprint.delete("/api/teams/<name>")
@require_role(Role.ADMIN)
@describe_route(query=VersionQuery, answers={204: None}, problems=(404, 409))
async def delete_team(name: str) -> Response:
    """Delete a team. Its members lose its questions; admins can answer them."""
    version = read_query(VersionQuery).expected_version
    await get_services().operations.teams.delete(name, username=get_principal().username, expected_version=version)
    return Response(status=204)


@blueprint.post("/api/workflows/<id>/assign")
@require_role(Role.OPERATOR)
@describe_route(body=AssignRequest, answers={200: OperationResponse}, problems=(404, 409))
async def assign_workflow(id: str) -> Response:
    """Assign the question of a workflow in a manual state to a user, or take the assignment back.

    Members of its teams, the user whom it is assigned to, and admins may do so; admins also to users of other teams.
    """
    given, by = await read_body(AssignRequest), get_principal()
    instance = await get_services().store.queries.find(id)
    changed = await get_services().operations.decisions.assign(
        instance.id,
        given.assignee,
        username=by.username,
        expected_version=given.expected_version,
        is_admin=by.role is Role.ADMIN,
    )
    return build_json_response(OperationResponse.of(changed))


def _build_team_response(record: TeamRecord) -> TeamResponse:
    return TeamResponse.model_validate(asdict(record))
