"""Starting or moving a workflow and waiting, in one request, until it has come as far as the client wants.

The answer goes out the moment the state is reached. A client that goes away ends its wait.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from pydantic import ConfigDict
from quart import Blueprint, Response

from flowlet.engine.arrivals import MOST_WAITERS, Wait
from flowlet.errors import UnknownStateError, UnknownWorkflowError, WaitTimeoutError
from flowlet.instances import Instance
from flowlet.permitted import Operation, refusal
from flowlet.roles import Role
from flowlet.web.answers import json_answer
from flowlet.web.api.requests import CreateRequest, StateRequest, StateVarsRequest
from flowlet.web.api.shapes import WorkflowShape
from flowlet.web.api.terms import faults_named
from flowlet.web.api.workflows import by_external_id_first, create, edit, enter
from flowlet.web.fields import WaitSeconds, WaitStates
from flowlet.web.guards import needs
from flowlet.web.openapi import described
from flowlet.web.parsing import body
from flowlet.web.problems import Problem, ProblemError, faulty, too_many
from flowlet.web.schemas import Body
from flowlet.web.services import services

__all__ = ["blueprint"]

RETRY_SECONDS = 10
"""When to ask again where too many wait."""

blueprint = Blueprint("waiting", __name__)


class WaitRequest(Body):
    """For what to wait, and how long.

    Attributes:
        wait_seconds: 0 to 3,600.
        check_seconds: Taken for GopherFlow's clients; nothing here looks from time to time.
        wait_for_states: Until one of these has been reached, or the end; the end only if it is left out.
    """

    wait_seconds: WaitSeconds
    check_seconds: Any = None
    wait_for_states: WaitStates | None = None


class CreateAndWaitRequest(WaitRequest):
    """A new instance, and for what of it to wait.

    Attributes:
        create_workflow_request: The new instance.
    """

    create_workflow_request: CreateRequest


class StateAndWaitRequest(WaitRequest):
    """Where an instance is to go, and for what of it to wait.

    Attributes:
        update_workflow_state_request: Where it is to go.
        update_state_var_request: Variables to set before.
        from_states: It has to be in one of these; in any if left out.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "updateWorkflowStateRequest": {"state": "charge", "form": {"comment": "Within the limit."}},
                    "fromStates": ["review"],
                    "waitForStates": ["delivered"],
                    "waitSeconds": 0.5,
                }
            ]
        }
    )

    update_workflow_state_request: StateRequest
    update_state_var_request: StateVarsRequest | None = None
    from_states: WaitStates | None = None


@blueprint.post("/api/createAndWait")
@needs(Role.OPERATOR)
@described(body=CreateAndWaitRequest, answers={200: WorkflowShape}, problems=(429, 504), leads_to="/api/workflows/{id}")
async def create_and_wait() -> Response:
    """Create an instance, and answer with it as soon as it has come so far; 504 if it has not in time."""
    wanted = await body(CreateAndWaitRequest)
    with faults_named(workflow="createWorkflowRequest.workflowType"):
        services().registry.definition(wanted.create_workflow_request.workflow_type)
    _check_states(wanted.create_workflow_request.workflow_type, wanted.wait_for_states)
    with _admitted(wanted) as wait:
        created = await create(wanted.create_workflow_request)
        return await _answer_when_there(wait, created.id, wanted, since=0)


@blueprint.post("/api/workflows/<path:external_id>/stateAndWait")
@needs(Role.OPERATOR)
@described(body=StateAndWaitRequest, answers={200: WorkflowShape}, problems=(404, 409, 429, 504))
async def enter_state_and_wait(external_id: str) -> Response:
    """Bring an instance to a state, and answer with it as soon as it has come so far; 504 if it has not in time."""
    wanted = await body(StateAndWaitRequest)
    instance = await by_external_id_first(external_id)
    _check_states(instance.type, wanted.wait_for_states)
    _check_origin_state(instance, wanted)
    with _admitted(wanted) as wait:
        # Read before the change: what it passes through between the change and the wait counts too.
        (standing,) = await services().store.reads.marked_standings([instance.id])
        if wanted.update_state_var_request and not wanted.update_state_var_request.is_empty:
            _check_target(instance, wanted.update_workflow_state_request)
            instance = await edit(instance, wanted.update_state_var_request)
        await enter(instance, wanted.update_workflow_state_request)
        return await _answer_when_there(wait, instance.id, wanted, since=standing.mark or 0)


def _admitted(wanted: WaitRequest) -> AbstractContextManager[Wait]:
    """Hold a place among those who wait, before anything is changed; refuse where there is none."""
    if services().arrivals.waiting >= MOST_WAITERS:
        raise too_many(f"{MOST_WAITERS:,} requests wait already. Look from time to time.", seconds=RETRY_SECONDS)
    return services().arrivals.admitted(wanted.wait_seconds)


async def _answer_when_there(wait: Wait, id: int, wanted: WaitRequest, *, since: int) -> Response:
    """Return the answer of a wait; ``since`` is the line of history after which a state counts."""
    try:
        instance = await wait(id, wanted.wait_for_states, since=since)
    except WaitTimeoutError as error:
        more: dict[str, Any] = {"workflowId": id}
        if error.instance is not None:
            more["workflow"] = WorkflowShape.of(error.instance).as_json()
        raise ProblemError(Problem(504, "wait-timeout", str(error), more)) from None
    return json_answer(WorkflowShape.of(instance))


def _check_states(workflow_type: str, names: list[str] | None) -> None:
    """Refuse to wait for a state that the workflow does not have; of a workflow that is unknown here any may come."""
    try:
        definition = services().registry.definition(workflow_type)
    except UnknownWorkflowError:
        return
    faults = {}
    for place, name in enumerate(names or ()):
        try:
            definition.state(name)
        except UnknownStateError as error:
            faults[f"waitForStates.{place}"] = str(error)
    if faults:
        raise ProblemError(faulty(faults))


def _check_origin_state(instance: Instance, wanted: StateAndWaitRequest) -> None:
    if wanted.from_states and instance.state not in wanted.from_states:
        permitted = services().operations.permitted(instance)
        expected = ", ".join(repr(state) for state in wanted.from_states)
        why = f"its state is {instance.state!r}, and none of the expected {expected}"
        raise refusal(Operation.MOVE, instance, why, list(permitted.states))


def _check_target(instance: Instance, wanted: StateRequest) -> None:
    """Refuse what the state will be refused for, before variables are changed."""
    permitted = services().operations.permitted(instance)
    if not wanted.force and wanted.state not in permitted.states:
        why = f"it cannot go from {instance.state!r} to {wanted.state[:120]!r}, and its variables stay as they are"
        raise refusal(Operation.MOVE, instance, why, list(permitted.states))
