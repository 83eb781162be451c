"""The changes of workflows that requests describe: creating, editing, answering and moving one."""

from __future__ import annotations

from datetime import datetime, timedelta

from flowlet.accounts.roles import Role
from flowlet.clock import to_datetime
from flowlet.definition.outside_values import SpelledVariables
from flowlet.errors import UnknownInstanceError
from flowlet.instance.instance import Instance
from flowlet.instance.new_instance import Created
from flowlet.operations.permitted import Operation
from flowlet.web.api.requests import (
    CreateWorkflowRequest,
    StateRequest,
    StateVarsRequest,
)
from flowlet.web.api.translation import rename_faults
from flowlet.web.auth import get_principal
from flowlet.web.problems import ProblemError, build_faults_problem, build_forbidden_error
from flowlet.web.services import get_services

__all__ = ["create_instance", "edit_instance_variables", "enter_instance_state", "find_by_external_id_first"]


async def create_instance(create_request: CreateWorkflowRequest) -> Created:
    """Create the instance that a request describes, in the name of the request's user.

    Raises:
        ProblemError: 400 if there is no such workflow, or the request gives both forms of the variables or of the first
            activation.
        VariablesError: If a value does not fit.
    """
    spelled = create_request.state_vars
    if spelled is not None and create_request.vars is not None:
        raise ProblemError(build_faults_problem({"stateVars": "cannot be combined with vars: leave out one"}))
    field_name = "vars" if spelled is None else "stateVars"
    with rename_faults(variables=field_name, workflow="workflowType"):
        return await get_services().operations.create(
            create_request.workflow_type,
            vars=create_request.vars if spelled is None else SpelledVariables(spelled),
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
    with rename_faults(variables="vars" if variables_request.vars else "stateVars"):
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
    target = here.registry.resolve_state(instance.type, state_request.state)
    is_choice = Operation.ANSWER in permitted.operations and target in permitted.states
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
