"""The workflow endpoints: create, read, search, and the operations on one workflow."""

from __future__ import annotations

from quart import Blueprint, Response
from quart.blueprints import BlueprintSetupState
from werkzeug.routing import BaseConverter

from flowlet.accounts.roles import Role
from flowlet.instance.instance import Instance
from flowlet.store.reports.children import read_child_counts
from flowlet.web.api.limits.workflow_detail import WorkflowDetailResponse, read_workflow_detail
from flowlet.web.api.requests import (
    AcknowledgeRequest,
    CancelRequest,
    CreateWorkflowRequest,
    OperationRequest,
    PauseRequest,
    SearchRequest,
    StateRequest,
    StateVarsRequest,
)
from flowlet.web.api.responses import (
    ActionResponse,
    ChildCountsResponse,
    ChildResponse,
    CreateResponse,
    OperationResponse,
    PermittedOperationsResponse,
    SearchResponse,
    build_history_response,
)
from flowlet.web.api.translation import build_search_query
from flowlet.web.api.workflow_changes import (
    create_instance,
    edit_instance_variables,
    enter_instance_state,
)
from flowlet.web.auth import get_principal, require_role
from flowlet.web.json_responses import build_json_response
from flowlet.web.openapi.document import describe_route
from flowlet.web.parsing import read_body, read_optional_body
from flowlet.web.services import get_services

__all__ = ["blueprint"]

blueprint = Blueprint("workflows", __name__)


class ReferenceConverter(BaseConverter):
    """An instance's id or external id as the last segment of a path.

    It does not match the names of other endpoints: ``GET /api/workflows/search`` is 405. An instance with such an
    external id is found by ``/api/workflowByExternalId/search``.
    """

    regex = r"(?!(?:bulk|search)$)[^/]+"


@blueprint.record_once
def _add_converter(state: BlueprintSetupState) -> None:
    state.app.url_map.converters["reference"] = ReferenceConverter


@blueprint.post("/api/workflows")
@require_role(Role.OPERATOR)
@describe_route(
    body=CreateWorkflowRequest,
    answers={201: CreateResponse, 200: CreateResponse},
    leads_to="/api/workflows/{id}",
    is_located=True,
)
async def create_workflow() -> Response:
    """Create a workflow: 201. If the external id exists: 200 with that workflow, which stays unchanged.

    If that workflow has ended and was deleted, and its external id is kept, ``pruned`` is true.
    """
    created = await create_instance(await read_body(CreateWorkflowRequest))
    response = CreateResponse(id=created.id, external_id=created.external_id, pruned=created.is_pruned)
    headers = {"Location": f"/api/workflows/{created.id}"}
    return build_json_response(response, status=201 if created.is_new else 200, headers=headers)


@blueprint.get("/api/workflows/<reference:id>")
@require_role(Role.VIEWER)
@describe_route(answers={200: WorkflowDetailResponse})
async def show_workflow(id: str) -> Response:
    """Return the workflow with an id or, if there is none of this id, with an external id."""
    return build_json_response(await read_workflow_detail(await get_services().store.queries.find(id)))


@blueprint.get("/api/workflowByExternalId/<path:external_id>")
@require_role(Role.VIEWER)
@describe_route(answers={200: WorkflowDetailResponse})
async def show_workflow_by_external_id(external_id: str) -> Response:
    """Return the workflow with an external id, even if that is a number."""
    found = await get_services().store.queries.get_by_external_id(external_id)
    return build_json_response(await read_workflow_detail(found))


@blueprint.post("/api/workflows/search")
@require_role(Role.VIEWER)
@describe_route(body=SearchRequest, answers={200: SearchResponse}, problems=(429,))
async def search_workflows() -> Response:
    """Return a page of the workflows that match."""
    query = build_search_query(await read_body(SearchRequest))
    here = get_services()
    with here.user_shares.hold_scan(query, get_principal().username):
        found = await here.store.queries.search(query)
    return build_json_response(SearchResponse.of(query, found))


@blueprint.post("/api/workflows/<id>/state")
@require_role(Role.OPERATOR)
@describe_route(body=StateRequest, answers={200: OperationResponse}, problems=(404, 409))
async def enter_state(id: str) -> Response:
    """Answer a manual state, or move a workflow along a transition; admins may force a move to any state."""
    state_request = await read_body(StateRequest)
    return _build_operation_response(
        await enter_instance_state(await get_services().store.queries.find(id), state_request)
    )


@blueprint.post("/api/workflows/<id>/statevars")
@require_role(Role.OPERATOR)
@describe_route(body=StateVarsRequest, answers={200: OperationResponse}, problems=(404, 409))
async def edit_variables(id: str) -> Response:
    """Set and remove variables by name."""
    variables_request = await read_body(StateVarsRequest)
    return _build_operation_response(
        await edit_instance_variables(await get_services().store.queries.find(id), variables_request)
    )


@blueprint.post("/api/workflows/<id>/pause")
@require_role(Role.OPERATOR)
@describe_route(body=PauseRequest, is_optional=True, answers={200: OperationResponse}, problems=(404, 409))
async def pause_workflow(id: str) -> Response:
    """Hold a workflow until it is resumed."""
    pause_request = await read_optional_body(PauseRequest)
    here, instance = get_services(), await get_services().store.queries.find(id)
    return _build_operation_response(
        await here.operations.pause(
            instance.id,
            username=get_principal().username,
            reason=pause_request.reason,
            expected_version=pause_request.expected_version,
        )
    )


@blueprint.post("/api/workflows/<id>/resume")
@require_role(Role.OPERATOR)
@describe_route(body=OperationRequest, is_optional=True, answers={200: OperationResponse}, problems=(404, 409))
async def resume_workflow(id: str) -> Response:
    """Resume a paused workflow."""
    operation_request = await read_optional_body(OperationRequest)
    instance = await get_services().store.queries.find(id)
    return _build_operation_response(
        await get_services().operations.resume(
            instance.id, username=get_principal().username, expected_version=operation_request.expected_version
        )
    )


@blueprint.post("/api/workflows/<id>/cancel")
@require_role(Role.OPERATOR)
@describe_route(body=CancelRequest, is_optional=True, answers={200: OperationResponse}, problems=(404, 409))
async def cancel_workflow(id: str) -> Response:
    """End a workflow, and with ``withChildren`` all its descendants."""
    cancel_request = await read_optional_body(CancelRequest)
    here, instance = get_services(), await get_services().store.queries.find(id)
    changed = await here.operations.cancel(
        instance.id,
        username=get_principal().username,
        reason=cancel_request.reason,
        with_children=cancel_request.with_children,
        expected_version=cancel_request.expected_version,
    )
    return _build_operation_response(changed)


@blueprint.post("/api/workflows/<id>/retry")
@require_role(Role.OPERATOR)
@describe_route(body=OperationRequest, is_optional=True, answers={200: OperationResponse}, problems=(404, 409))
async def retry_workflow(id: str) -> Response:
    """Retry a FAILED workflow, in an error state from the one it left; or begin the next attempt now."""
    operation_request = await read_optional_body(OperationRequest)
    instance = await get_services().store.queries.find(id)
    return _build_operation_response(
        await get_services().operations.retry(
            instance.id, username=get_principal().username, expected_version=operation_request.expected_version
        )
    )


@blueprint.post("/api/workflows/<id>/acknowledge")
@require_role(Role.OPERATOR)
@describe_route(body=AcknowledgeRequest, answers={200: OperationResponse}, problems=(404, 409))
async def acknowledge_failure(id: str) -> Response:
    """Close the failure of a FAILED workflow that needs no repair."""
    acknowledge_request = await read_body(AcknowledgeRequest)
    instance = await get_services().store.queries.find(id)
    return _build_operation_response(
        await get_services().operations.acknowledge(
            instance.id,
            username=get_principal().username,
            reason=acknowledge_request.reason,
            expected_version=acknowledge_request.expected_version,
        )
    )


@blueprint.post("/api/workflows/<id>/abort")
@require_role(Role.OPERATOR)
@describe_route(body=PauseRequest, is_optional=True, answers={200: OperationResponse}, problems=(404, 409))
async def abort_attempt(id: str) -> Response:
    """Stop the running attempt of a workflow, and run the same attempt again."""
    abort_request = await read_optional_body(PauseRequest)
    instance = await get_services().store.queries.find(id)
    return _build_operation_response(
        await get_services().operations.abort(
            instance.id,
            username=get_principal().username,
            reason=abort_request.reason,
            expected_version=abort_request.expected_version,
        )
    )


@blueprint.post("/api/workflows/<id>/wake")
@require_role(Role.OPERATOR)
@describe_route(body=OperationRequest, is_optional=True, answers={200: OperationResponse}, problems=(404, 409))
async def wake_workflow(id: str) -> Response:
    """Run a workflow now that waits for a timer, an attempt, or its children."""
    operation_request = await read_optional_body(OperationRequest)
    instance = await get_services().store.queries.find(id)
    return _build_operation_response(
        await get_services().operations.wake(
            instance.id, username=get_principal().username, expected_version=operation_request.expected_version
        )
    )


@blueprint.get("/api/workflows/<id>/children")
@require_role(Role.VIEWER)
@describe_route(answers={200: list[ChildResponse]})
async def show_children(id: str) -> Response:
    """Return summaries of a workflow's children, the oldest first."""
    reads = get_services().store.queries
    instance = await reads.find(id)
    return build_json_response([ChildResponse.of(child) for child in await reads.list_children(instance.id)])


@blueprint.get("/api/workflows/<id>/children/counts")
@require_role(Role.VIEWER)
@describe_route(answers={200: ChildCountsResponse})
async def show_child_counts(id: str) -> Response:
    """Return how many children a workflow has, by status, and how many are still to be made."""
    store = get_services().store
    instance = await store.queries.find(id)
    return build_json_response(ChildCountsResponse.of(await read_child_counts(store.connections, instance)))


@blueprint.get("/api/workflows/<id>/permitted")
@require_role(Role.VIEWER)
@describe_route(answers={200: PermittedOperationsResponse})
async def show_permitted(id: str) -> Response:
    """Return the operations that a workflow permits now."""
    instance = await get_services().store.queries.find(id)
    return build_json_response(
        PermittedOperationsResponse.of(get_services().operations.get_permitted_operations(instance))
    )


@blueprint.get("/api/actions/byWorkflowId/<id>")
@require_role(Role.VIEWER)
@describe_route(answers={200: list[ActionResponse]})
async def show_history(id: str) -> Response:
    """Return the history of a workflow, the newest action first."""
    reads = get_services().store.queries
    instance = await reads.find(id)
    return build_json_response(build_history_response(await reads.read_history(instance.id)))


def _build_operation_response(instance: Instance) -> Response:
    return build_json_response(OperationResponse.of(instance))
