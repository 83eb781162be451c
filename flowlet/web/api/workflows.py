"""The workflow endpoints: create, read, search, and the operations on one workflow."""

from __future__ import annotations

from datetime import datetime, timedelta

from quart import Blueprint, Response
from quart.blueprints import BlueprintSetupState
from werkzeug.routing import BaseConverter

from flowlet.accounts.roles import Role
from flowlet.clock import to_datetime
from flowlet.errors import UnknownInstanceError
from flowlet.instance.instance import Created, Instance
from flowlet.operations.permitted import Operation
from flowlet.web.api.requests import (
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
    ChildResponse,
    CreateResponse,
    OperationResponse,
    PermittedOperationsResponse,
    SearchResponse,
    WorkflowResponse,
    build_history_response,
)
from flowlet.web.api.translation import build_search_query, rename_faults
from flowlet.web.auth import get_principal, require_role
from flowlet.web.json_responses import build_json_response
from flowlet.web.openapi.document import describe_route
from flowlet.web.parsing import read_body, read_optional_body
from flowlet.web.problems import ProblemError, build_faults_problem, build_forbidden_error
from flowlet.web.services import get_services

__all__ = [
    "blueprint",
    "create_instance",
    "edit_instance_variables",
    "enter_instance_state",
    "find_by_external_id_first",
]

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
    """Create a workflow: 201. If the external id exists: 200 with that workflow, which stays unchanged."""
    created = await create_instance(await read_body(CreateWorkflowRequest))
    response = CreateResponse(id=created.id, external_id=created.external_id)
    headers = {"Location": f"/api/workflows/{created.id}"}
    return build_json_response(response, status=201 if created.is_new else 200, headers=headers)


@blueprint.get("/api/workflows/<reference:id>")
@require_role(Role.VIEWER)
@describe_route(answers={200: WorkflowResponse})
async def show_workflow(id: str) -> Response:
    """Return the workflow with an id, or with an external id that is not a number."""
    return build_json_response(WorkflowResponse.of(await get_services().store.queries.find(id)))


@blueprint.get("/api/workflowByExternalId/<path:external_id>")
@require_role(Role.VIEWER)
@describe_route(answers={200: WorkflowResponse})
async def show_workflow_by_external_id(external_id: str) -> Response:
    """Return the workflow with an external id."""
    return build_json_response(WorkflowResponse.of(await find_by_external_id_first(external_id)))


@blueprint.post("/api/workflows/search")
@require_role(Role.VIEWER)
@describe_route(body=SearchRequest, answers={200: SearchResponse})
async def search_workflows() -> Response:
    """Return a page of the workflows that match."""
    query = build_search_query(await read_body(SearchRequest))
    return build_json_response(SearchResponse.of(query, await get_services().store.queries.search(query)))


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
    """Retry a FAILED workflow, or begin the next attempt now instead of later."""
    operation_request = await read_optional_body(OperationRequest)
    instance = await get_services().store.queries.find(id)
    return _build_operation_response(
        await get_services().operations.retry(
            instance.id, username=get_principal().username, expected_version=operation_request.expected_version
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


async def create_instance(create_request: CreateWorkflowRequest) -> Created:
    """Create the instance that a request describes, in the name of the request's user.

    Raises:
        ProblemError: 400 if there is no such workflow, or the request gives both forms of the first activation.
        VariablesError: If a value does not fit.
    """
    with rename_faults(variables="stateVars", workflow="workflowType"):
        return await get_services().operations.create(
            create_request.workflow_type,
            vars=create_request.state_vars,
            key=create_request.business_key,
            external_id=create_request.external_id,
            group=create_request.executor_group,
            priority=create_request.priority,
            when=_compute_first_activation(create_request),
            username=get_principal().username,
        )


async def edit_instance_variables(instance: Instance, variables_request: StateVarsRequest) -> Instance:
    """Set and remove the variables that a request names, in the name of its user.

    Raises:
        ProblemError: 400 if it names no variable.
        RefusedError: If the instance may not be edited now.
        VariablesError: If the variables would not fit.
    """
    with rename_faults(variables="stateVars"):
        return await get_services().operations.edit_variables(
            instance.id,
            variables_request.new_values,
            username=get_principal().username,
            unset=variables_request.unset,
            expected_version=variables_request.expected_version,
        )


async def enter_instance_state(instance: Instance, state_request: StateRequest) -> Instance:
    """Answer an instance that waits for the requested choice; move any other one to the requested state.

    Raises:
        ProblemError: 403 for force without the role admin; 400 if the workflow has no such state, or a field does not
            go with the others.
        RefusedError: If the instance may not go there now.
        VariablesError: If the form's values do not fit.
    """
    here, by = get_services(), get_principal()
    if state_request.force and not by.role.is_at_least(Role.ADMIN):
        raise build_forbidden_error(
            f"A forced move requires the role {Role.ADMIN}; {by.username} has the role {by.role}."
        )
    permitted = here.operations.get_permitted_operations(instance)
    is_choice = Operation.ANSWER in permitted.operations and state_request.state in permitted.states
    is_answer = not state_request.force and (is_choice or state_request.form is not None)
    when = _convert_future_time(state_request.next_activation)
    if faults := _find_conflicts(state_request, is_answer=is_answer, when=when):
        raise ProblemError(build_faults_problem(faults))
    with rename_faults(form="form", state="state"):
        if is_answer:
            return await here.operations.answer(
                instance.id,
                state_request.state,
                form=state_request.form,
                username=by.username,
                expected_version=state_request.expected_version,
            )
        return await here.operations.move(
            instance.id,
            state_request.state,
            username=by.username,
            when=when,
            force=state_request.force,
            reason=state_request.reason,
            expected_version=state_request.expected_version,
        )


async def find_by_external_id_first(reference: str) -> Instance:
    """Return the instance with an external id; if there is none and the text is a number, the one with that id.

    Raises:
        UnknownInstanceError: If there is no such instance.
    """
    reads = get_services().store.queries
    try:
        return await reads.get_by_external_id(reference)
    except UnknownInstanceError:
        if not (reference.isascii() and reference.isdigit()):
            raise
    return await reads.find(reference)


def _build_operation_response(instance: Instance) -> Response:
    return build_json_response(OperationResponse.of(instance))


def _compute_first_activation(create_request: CreateWorkflowRequest) -> datetime | timedelta | None:
    """Return when a new instance runs first; None means at once."""
    if create_request.next_activation_offset is None:
        return _convert_future_time(create_request.next_activation)
    if create_request.next_activation is not None:
        raise ProblemError(
            build_faults_problem({"nextActivationOffset": "cannot be combined with nextActivation: leave out one"})
        )
    return create_request.next_activation_offset


def _convert_future_time(at: int | None) -> datetime | None:
    """Return a time in the future; None for a past one, because Go clients send the year 1 for no time."""
    return None if at is None or at <= get_services().store.clock.now() else to_datetime(at)


def _find_conflicts(state_request: StateRequest, *, is_answer: bool, when: datetime | None) -> dict[str, str]:
    """Return the fault of each field that does not go with the others."""
    if is_answer:
        faults = {"nextActivation": when is not None, "reason": state_request.reason is not None}
        return {name: "does not go with an answer: leave it out" for name, is_given in faults.items() if is_given}
    if state_request.force and state_request.form is not None:
        return {"form": "cannot be combined with force: a forced move is not an answer"}
    if state_request.force and not (state_request.reason and state_request.reason.strip()):
        return {"reason": "is missing: a forced move requires a reason, for the history"}
    return {}
