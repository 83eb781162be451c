"""Saved views of the workflow list."""

from __future__ import annotations

from pydantic import ConfigDict
from quart import Blueprint, Response

from flowlet.accounts.roles import Role
from flowlet.operations.views.saved_views import ViewOperations
from flowlet.store.people.views import ViewRecord
from flowlet.web.api.requests import VersionQuery
from flowlet.web.auth import get_principal, require_role
from flowlet.web.field_types import ExpectedVersion, ViewAddress, ViewName
from flowlet.web.json_responses import build_json_response
from flowlet.web.openapi.document import describe_route
from flowlet.web.parsing import read_body, read_query
from flowlet.web.problems import build_forbidden_error
from flowlet.web.schemas import ApiModel, RequestModel, Timestamp
from flowlet.web.services import get_services

__all__ = ["blueprint", "check_right", "check_sharing"]

blueprint = Blueprint("views", __name__)


class ViewResponse(ApiModel):
    """A saved view of the workflow list.

    Attributes:
        id: Never reused.
        name: Its name, unique regardless of case among those of its user, or among the shared ones.
        address: The filters, the order and the columns: what follows the question mark in the address of the list.
        is_shared: Whether all users see it.
        is_default: Whether it opens when its user opens the list without filters.
        version: Raised by each change; ``expectedVersion`` is compared with it.
        created: When the view was created.
        created_by: The user who created it.
        modified: When it was last changed.
        modified_by: The user who changed it.
    """

    id: int
    name: str
    address: str
    is_shared: bool
    is_default: bool
    version: int
    created: Timestamp
    created_by: str
    modified: Timestamp
    modified_by: str


class CreateViewRequest(RequestModel):
    """A view to create.

    Attributes:
        name: 1 to 120 printable characters, with no space at either end.
        address: What follows the question mark in the address of the list; each field has to be one of its filters,
            ``sort`` or ``column``.
        is_shared: Whether all users see it; requires the role operator.
        is_default: Whether it opens when you open the list without filters, and no other view does; not if it is
            shared.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "not": {
                "properties": {"isShared": {"const": True}, "isDefault": {"const": True}},
                "required": ["isShared", "isDefault"],
            },
            "examples": [{"name": "Failed orders", "address": "type=OrderWorkflow&status=FAILED&sort=-modified"}],
        }
    )

    name: ViewName
    address: ViewAddress
    is_shared: bool = False
    is_default: bool = False


class EditViewRequest(RequestModel):
    """A change of a view; what is left out or null stays as it is.

    Attributes:
        name: Its new name.
        address: Its new filters, order and columns, all of them.
        is_default: Whether it opens when you open the list without filters; not if it is shared.
        expected_version: The version that you read; 409 if the view has another one by now.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Broken orders", "expectedVersion": 1}]})

    name: ViewName | None = None
    address: ViewAddress | None = None
    is_default: bool | None = None
    expected_version: ExpectedVersion = None


@blueprint.get("/api/views")
@require_role(Role.VIEWER)
@describe_route(answers={200: list[ViewResponse]})
async def list_views() -> Response:
    """Return your views of the workflow list by name, and then those that all users share."""
    found = await _get_views().list_all(username=get_principal().username)
    return build_json_response([_build_view_response(one) for one in found])


@blueprint.post("/api/views")
@require_role(Role.VIEWER)
@describe_route(
    body=CreateViewRequest, answers={201: ViewResponse}, problems=(409,), leads_to="/api/views/{id}", is_located=True
)
async def create_view() -> Response:
    """Save an address of the workflow list under a name, for yourself or, as an operator, for all users."""
    new = await read_body(CreateViewRequest)
    check_sharing(is_shared=new.is_shared)
    made = await _get_views().create(
        new.name,
        new.address,
        username=get_principal().username,
        is_shared=new.is_shared,
        is_default=new.is_default,
    )
    return build_json_response(_build_view_response(made), status=201, headers={"Location": f"/api/views/{made.id}"})


@blueprint.get("/api/views/<int:id>")
@require_role(Role.VIEWER)
@describe_route(answers={200: ViewResponse})
async def show_view(id: int) -> Response:
    """Return one of your views, or one that all users share."""
    return build_json_response(_build_view_response(await _get_views().get(id, username=get_principal().username)))


@blueprint.put("/api/views/<int:id>")
@require_role(Role.VIEWER)
@describe_route(body=EditViewRequest, answers={200: ViewResponse}, problems=(409,))
async def edit_view(id: int) -> Response:
    """Rename a view, overwrite it, or make it your default. A shared one requires the role operator."""
    edit = await read_body(EditViewRequest)
    await check_right(id)
    changed = await _get_views().change(
        id,
        username=get_principal().username,
        name=edit.name,
        address=edit.address,
        is_default=edit.is_default,
        expected_version=edit.expected_version,
    )
    return build_json_response(_build_view_response(changed))


@blueprint.delete("/api/views/<int:id>")
@require_role(Role.VIEWER)
@describe_route(query=VersionQuery, answers={204: None}, problems=(409,))
async def delete_view(id: int) -> Response:
    """Delete a view. A shared one requires the role operator."""
    version = read_query(VersionQuery).expected_version
    await check_right(id)
    await _get_views().delete(id, username=get_principal().username, expected_version=version)
    return Response(status=204)


def check_sharing(*, is_shared: bool) -> None:
    """Check that the user of the request may change a view.

    Raises:
        ProblemError: 403 if all users share it, and the user is no operator.
    """
    if is_shared and not get_principal().role.is_at_least(Role.OPERATOR):
        raise build_forbidden_error("Shared views are created and changed by operators, and your role is viewer.")


async def check_right(id: int) -> None:
    """Check that the user may change a view. Whether it is shared never changes, so it is read before."""
    check_sharing(is_shared=(await _get_views().get(id, username=get_principal().username)).is_shared)


def _get_views() -> ViewOperations:
    return get_services().operations.views


def _build_view_response(record: ViewRecord) -> ViewResponse:
    return ViewResponse.model_validate(record, from_attributes=True)
