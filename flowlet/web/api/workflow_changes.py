"""The changes of workflows that requests describe: creating, editing, answering and moving one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from flowlet.accounts.roles import Role
from flowlet.clock import to_datetime
from flowlet.definition.outside_values import SpelledVariables
from flowlet.instance.instance import Instance
from flowlet.instance.new_instance import Created
from flowlet.operations.requested_state import RequestedState
from flowlet.operations.variable_edits import VariableEdit
from flowlet.web.api.requests import (
    CreateWorkflowRequest,
    StateRequest,
    StateVarsRequest,
)
from flowlet.web.api.translation import rename_faults
from flowlet.web.auth import get_principal
from flowlet.web.problems import ProblemError, build_faults_problem, build_forbidden_error
from flowlet.web.services import get_services

__all__ = ["create_instance", "edit_instance_variables", "enter_instance_state"]


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


async def enter_instance_state(
    instance: Instance,
    state_request: StateRequest,
    *,
    from_states: Sequence[str] = (),
    variables_request: StateVarsRequest | None = None,
) -> Instance:
    """Answer an instance that waits for the requested choice; move any other one to the requested state.

    Args:
        instance: The instance, which may have changed since.
        state_request: The state.
        from_states: It has to be in one of these; empty for any state.
        variables_request: The variables to set before, in the same transaction. Either request may name the expected
            version.

    Raises:
        ProblemError: 403 for force without the role admin; 400 if the workflow has no such state, or a field does not
            go with the others.
        RefusedError: If the instance may not go there now.
        VariablesError: If the form's values or the variables do not fit.
    """
    here, by = get_services(), get_principal()
    if state_request.force and not by.role.is_at_least(Role.ADMIN):
        raise build_forbidden_error(
            f"A forced move requires the role {Role.ADMIN}; {by.person} has the role {by.role}."
        )
    requested, expected_version = _build_requested_state(state_request, from_states), state_request.expected_version
    variables_field = "stateVars"
    if variables_request is not None and not variables_request.is_empty:
        edit = VariableEdit(variables_request.new_values, tuple(variables_request.unset))
        requested = replace(requested, edit=edit)
        variables_field = "vars" if variables_request.vars else variables_field
        expected_version = _join_expected_versions(expected_version, variables_request.expected_version)
    with rename_faults(form="form", state="state", variables=variables_field):
        return await here.operations.enter_state(
            instance.id,
            requested,
            username=by.username,
            expected_version=expected_version,
            is_admin=by.role is Role.ADMIN,
        )


def _build_requested_state(state_request: StateRequest, from_states: Sequence[str]) -> RequestedState:
    return RequestedState(
        state_request.state,
        form=state_request.form,
        when=_convert_future_time(state_request.next_activation),
        is_forced=state_request.force,
        reason=state_request.reason,
        from_states=from_states,
    )


def _join_expected_versions(one: int | None, other: int | None) -> int | None:
    if one is not None and other is not None and one != other:
        fault = "differs from the version that the other part of the request expects: leave out one"
        raise ProblemError(build_faults_problem({"updateStateVarRequest.expectedVersion": fault}))
    return other if one is None else one


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
