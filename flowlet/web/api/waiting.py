"""Starting or moving a workflow and waiting, in one request, until it has reached a state.

The answer is sent at the moment the state is reached. A client that disconnects ends its wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

from pydantic import ConfigDict
from quart import Blueprint, Response

from flowlet.accounts.roles import Role
from flowlet.engine.waiters import MAX_WAITERS, WaitFunction
from flowlet.engine.waits.waiter import WaitResult
from flowlet.errors import StoreUnavailableError, UnknownStateError, WaitStoppedError, WaitTimeoutError
from flowlet.shutdown import cancel_and_wait
from flowlet.web.api.examples import EXAMPLE_WORKFLOW
from flowlet.web.api.requests import CreateWorkflowRequest, StateRequest, StateVarsRequest
from flowlet.web.api.responses import WorkflowResponse
from flowlet.web.api.translation import rename_faults
from flowlet.web.api.workflow_changes import (
    create_instance,
    enter_instance_state,
)
from flowlet.web.auth import REAUTHORIZATION_SECONDS, get_principal, make_access_check, require_role
from flowlet.web.deadline import WAIT_GRACE_SECONDS, set_request_deadline
from flowlet.web.field_types import WaitSeconds, WaitStates
from flowlet.web.json_responses import build_json_response
from flowlet.web.openapi.document import describe_route
from flowlet.web.parsing import read_body
from flowlet.web.problems import (
    Problem,
    ProblemError,
    UnauthenticatedError,
    build_faults_problem,
    build_rate_limit_error,
)
from flowlet.web.schemas import RequestModel
from flowlet.web.services import get_services
from flowlet.web.user_shares import WAITS

__all__ = ["blueprint"]

RETRY_AFTER_SECONDS = 10
"""The Retry-After of a request that is refused because too many are waiting."""

DEFAULT_WAIT_SECONDS = 1.0

REACHED_HEADER = "Flowlet-Reached"
_ANSWER_HEADERS = {REACHED_HEADER: "The `reached` of the response: `true` or `false`."}

blueprint = Blueprint("waiting", __name__)


class WaitRequest(RequestModel):
    """What to wait for, and how long.

    Attributes:
        wait_seconds: Up to 3,600; 1 if left out or 0, as for GopherFlow.
        check_seconds: Accepted for GopherFlow's clients, and ignored: the wait ends at the commit.
        wait_for_states: Wait until the workflow has reached one of these, or has ended; omit it to wait for the end.
    """

    wait_seconds: WaitSeconds = None
    check_seconds: Any = None
    wait_for_states: WaitStates | None = None

    @property
    def timeout_seconds(self) -> float:
        """How long to wait."""
        return self.wait_seconds or DEFAULT_WAIT_SECONDS


class CreateAndWaitRequest(WaitRequest):
    """A new instance, and what to wait for.

    Attributes:
        create_workflow_request: The new instance.
    """

    max_bytes: ClassVar[int | None] = None
    create_workflow_request: CreateWorkflowRequest


class StateAndWaitRequest(WaitRequest):
    """The state to move an instance to, and what to wait for.

    Attributes:
        update_workflow_state_request: The state to move it to.
        update_state_var_request: Variables to set before.
        from_states: It has to be in one of these; omit it for any state.
    """

    max_bytes: ClassVar[int | None] = None
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


class WaitedWorkflowResponse(WorkflowResponse):
    """A workflow that was waited for.

    Attributes:
        reached: Whether it has reached one of the states that were waited for, even if it has left it since; false if
            it has ended without. Without states it is true, because then the wait is for the end.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{**EXAMPLE_WORKFLOW, "reached": True}]})

    reached: bool

    @classmethod
    def of_wait(cls, result: WaitResult) -> WaitedWorkflowResponse:
        """Return the response for the result of a wait."""
        return cls(**dict(WorkflowResponse.of(result.instance)), reached=result.has_reached)


@blueprint.post("/api/createAndWait")
@require_role(Role.OPERATOR)
@describe_route(
    body=CreateAndWaitRequest,
    answers={200: WaitedWorkflowResponse},
    answer_headers=_ANSWER_HEADERS,
    problems=(410, 429, 504),
    leads_to="/api/workflows/{id}",
)
async def create_and_wait() -> Response:
    """Create an instance, and answer with it as soon as it has reached the state; 504 if it has not in time.

    It also answers when the instance has ended in another state; ``reached`` is false then.
    """
    wait_request = await read_body(CreateAndWaitRequest)
    with rename_faults(workflow="createWorkflowRequest.workflowType"):
        get_services().registry.get_definition(wait_request.create_workflow_request.workflow_type)
    await _check_states(wait_request.create_workflow_request.workflow_type, wait_request.wait_for_states)
    with _reserve_wait(wait_request) as wait:
        created = await create_instance(wait_request.create_workflow_request)
        if created.is_pruned:
            await get_services().store.queries.get(created.id)  # it raises the error of a deleted one
        return await _respond_when_reached(wait, created.id, wait_request, after_action_id=0)


@blueprint.post("/api/workflows/<path:id>/stateAndWait")
@require_role(Role.OPERATOR)
@describe_route(
    body=StateAndWaitRequest,
    answers={200: WaitedWorkflowResponse},
    answer_headers=_ANSWER_HEADERS,
    problems=(404, 409, 429, 504),
)
async def enter_state_and_wait(id: str) -> Response:
    """Move an instance to a state, and answer with it once it has reached the state; 504 if it has not in time.

    The states to come from are checked, the variables set and the move made in one transaction. It also answers when
    the instance has ended in another state; ``reached`` is false then.
    """
    wait_request = await read_body(StateAndWaitRequest)
    instance = await get_services().store.queries.find(id)
    await _check_states(instance.type, wait_request.wait_for_states)
    with _reserve_wait(wait_request) as wait:
        # Read before the change: a state that it enters between the change and the wait counts too.
        (position,) = await get_services().store.queries.read_positions_with_last_action([instance.id])
        await enter_instance_state(
            instance,
            wait_request.update_workflow_state_request,
            from_states=wait_request.from_states or (),
            variables_request=wait_request.update_state_var_request,
        )
        return await _respond_when_reached(
            wait, instance.id, wait_request, after_action_id=position.last_action_id or 0
        )


@contextmanager
def _reserve_wait(wait_request: WaitRequest) -> Iterator[WaitFunction]:
    """Reserve a wait before anything is changed; refuse if there are too many, in all or of this user."""
    if get_services().waiters.waiter_count >= MAX_WAITERS:
        raise build_rate_limit_error(
            f"{MAX_WAITERS:,} requests are waiting already. Poll the workflow instead.",
            retry_after_seconds=RETRY_AFTER_SECONDS,
        )
    set_request_deadline(wait_request.timeout_seconds + WAIT_GRACE_SECONDS)
    here, username = get_services(), get_principal().username
    with here.user_shares.hold(WAITS, username), here.waiters.reserve_wait(wait_request.timeout_seconds) as wait:
        yield wait


async def _respond_when_reached(
    wait: WaitFunction, id: int, wait_request: WaitRequest, *, after_action_id: int
) -> Response:
    """Return the answer of a wait; ``after_action_id`` is the line of history after which a state counts."""
    try:
        result = await _wait_while_permitted(wait(id, wait_request.wait_for_states, since=after_action_id))
    except WaitStoppedError:
        raise
    except WaitTimeoutError as error:
        more: dict[str, Any] = {"workflowId": id}
        if error.instance is not None:
            more["workflow"] = WorkflowResponse.of(error.instance).as_json()
        raise ProblemError(Problem(504, "wait-timeout", str(error), more)) from None
    headers = {REACHED_HEADER: str(result.has_reached).lower()}
    return build_json_response(WaitedWorkflowResponse.of_wait(result), headers=headers)


async def _wait_while_permitted(waiting: Awaitable[WaitResult]) -> WaitResult:
    """Await the result of a wait; end it if the request's key or session ends meanwhile.

    Raises:
        UnauthenticatedError: If the user may not make the request any more.
    """
    has_access, task = make_access_check(), asyncio.ensure_future(waiting)
    try:
        while True:
            done, _ = await asyncio.wait([task], timeout=REAUTHORIZATION_SECONDS)
            if done:
                return task.result()
            with suppress(StoreUnavailableError):  # which says nothing about the user's access
                if not await has_access():
                    raise UnauthenticatedError(
                        "The key or the session has ended during the wait. The workflow goes on."
                    )
    finally:
        await cancel_and_wait(task)


async def _check_states(workflow_type: str, names: list[str] | None) -> None:
    """Refuse to wait for a state that the workflow does not have; one that is unknown here may have any state."""
    here = get_services()
    if not names or workflow_type not in here.registry.names:
        return
    definition, known_names = here.registry.get_definition(workflow_type), await here.store.state_names.read()
    faults = {}
    for place, name in enumerate(names):
        try:
            definition.get_state(known_names.resolve_for(definition, name))
        except UnknownStateError as error:
            faults[f"waitForStates.{place}"] = str(error)
    if faults:
        raise ProblemError(build_faults_problem(faults))
