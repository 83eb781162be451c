"""Plans: all that is needed to run a state, computed once per state rather than once per activation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flowlet.definition.context_usage import find_context_attributes
from flowlet.definition.definition import Definition, ParameterRole, StateDefinition
from flowlet.definition.entry import StateEntry, build_state_entry
from flowlet.definition.messages.message_definition import MessageDefinition
from flowlet.workflow.retry import Retry

__all__ = ["NO_POLICY", "Plan", "Policy", "build_plan", "build_policy"]


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules for the transition that follows an attempt.

    Attributes:
        definition: The definition; None for an instance whose workflow is not known here.
        retry: The policy of a failed attempt.
        error_entry: The state to enter when the attempts are used up; None means to end as FAILED.
        loop_limit: How many transitions without any wait are taken to be an endless loop.
        breaker_scope: The scope of the breaker that counts the attempt; None for no breaker.
    """

    definition: Definition | None
    retry: Retry
    error_entry: StateEntry | None
    loop_limit: int
    breaker_scope: str | None = None

    @property
    def version(self) -> int | None:
        """The definition's version; None where there is no definition."""
        return self.definition.version if self.definition else None


NO_POLICY = Policy(definition=None, retry=Retry(), error_entry=None, loop_limit=0)
"""For an instance whose workflow is not known here."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A state, prepared for running.

    Attributes:
        handler: None where nothing is to run: in an end or error state.
        is_async: Whether the handler runs on the loop, rather than in a thread.
        vars_names: The parameters that take the variables' model object.
        form_names: The parameters that take the form.
        messages: The messages that a receive state waits for, by name; empty for every other state.
        message_names: The parameters that take the message's body.
        context_names: The parameters that take the context.
        context_attributes: What the handler reads of the context; None if that cannot be known.
        resources: The parameters that take a resource, with its type.
        reads_vars: Whether an activation has to parse the variables at all.
        reads_error: Whether the handler may read the failure that led to its state.
        entries: The permitted next states, by name.
        default_state: The next state of a handler that returns nothing; None where it has to return one.
        deadline_entry: The state that follows a manual state without an answer, or a receive state without a message;
            None where it has no deadline.
    """

    definition: Definition
    state: StateDefinition
    policy: Policy
    handler: Callable[..., Any] | None
    is_async: bool
    is_manual: bool
    messages: Mapping[str, MessageDefinition]
    timeout: timedelta | None
    vars_names: tuple[str, ...]
    form_names: tuple[str, ...]
    message_names: tuple[str, ...]
    context_names: tuple[str, ...]
    context_attributes: frozenset[str] | None
    resources: tuple[tuple[str, Any], ...]
    reads_vars: bool
    reads_error: bool
    entries: Mapping[str, StateEntry]
    default_state: str | None
    deadline_entry: StateEntry | None


def build_plan(definition: Definition, state: StateDefinition) -> Plan:
    """Return the plan of a state."""
    entries = {name: build_state_entry(definition.states[name]) for name in state.targets}
    context_names = _list_parameters(state, ParameterRole.CONTEXT)
    vars_names = _list_parameters(state, ParameterRole.VARS)
    context_attributes = _find_context_attributes(state, context_names)
    return Plan(
        definition=definition,
        state=state,
        policy=build_policy(definition, state),
        handler=state.handler,
        is_async=state.is_async,
        is_manual=state.is_manual,
        messages={one.name: one for one in state.messages},
        timeout=state.timeout,
        vars_names=vars_names,
        form_names=_list_parameters(state, ParameterRole.FORM),
        message_names=_list_parameters(state, ParameterRole.MESSAGE),
        context_names=context_names,
        context_attributes=context_attributes,
        resources=tuple((given.name, given.type) for given in state.parameters if given.role == ParameterRole.RESOURCE),
        reads_vars=bool(vars_names or (context_names and definition.vars is None)),
        reads_error=_may_follow_error(definition, state)
        if context_attributes is None
        else "error" in context_attributes,
        entries=entries,
        default_state=next(iter(entries)) if len(entries) == 1 else None,
        deadline_entry=_find_state_entry(definition, state.on_deadline),
    )


def build_policy(definition: Definition, state: StateDefinition | None) -> Policy:
    """Return the policy of a state; None means a state that the definition does not have."""
    return Policy(
        definition=definition,
        retry=state.retry if state else definition.retry,
        error_entry=_find_state_entry(definition, state.on_error) if state else None,
        loop_limit=definition.loop_limit,
        breaker_scope=state.limits.scope if state and state.limits and state.limits.breaker else None,
    )


def _find_context_attributes(state: StateDefinition, context_names: tuple[str, ...]) -> frozenset[str] | None:
    if state.handler is None or not context_names:
        return frozenset()
    return find_context_attributes(state.handler, context_names)


def _may_follow_error(definition: Definition, state: StateDefinition) -> bool:
    return any(other.on_error == state.name for other in definition.states.values())


def _list_parameters(state: StateDefinition, role: ParameterRole) -> tuple[str, ...]:
    return tuple(given.name for given in state.parameters if given.role == role)


def _find_state_entry(definition: Definition, name: str | None) -> StateEntry | None:
    return None if name is None else build_state_entry(definition.states[name])
