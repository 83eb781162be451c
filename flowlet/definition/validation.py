"""The validation of a workflow module: each fault with its file, its line and the likely cure."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from flowlet.definition.dependencies import format_type
from flowlet.definition.limits.limit_faults import find_limit_faults
from flowlet.definition.messages.message_faults import find_message_faults
from flowlet.definition.model_faults import find_model_faults
from flowlet.definition.model_shape import build_schema
from flowlet.definition.module_source import ModuleSource
from flowlet.definition.people.question_faults import find_question_faults
from flowlet.definition.return_faults import find_return_faults
from flowlet.definition.schedules.schedule_faults import find_declared_schedule_faults
from flowlet.definition.versions.version_faults import find_version_faults
from flowlet.errors import Fault
from flowlet.text import MAX_NAME_LENGTH
from flowlet.workflow.states import State, StateKind

__all__ = ["find_faults", "list_targets"]

_FINAL_KINDS = (StateKind.END, StateKind.ERROR)


def find_faults(source: ModuleSource) -> list[Fault]:
    """Return all faults of a module, except those of its handlers' parameters."""
    if not source.states:
        cure = "Decorate functions with @state(next=[...], start=True), and name the ends: done = end()."
        return [*_check_workflow(source), Fault(source.file, 0, f"no state is defined here.\n{cure}")]
    faults = [*_check_workflow(source), *_check_names(source), *_check_start(source), *find_version_faults(source)]
    faults += find_message_faults(source, _check_model)
    faults += find_declared_schedule_faults(source)
    faults += find_question_faults(source)
    faults += find_limit_faults(source)
    for name, state in source.states.items():
        faults += _check_form(source, name, state)
        if state.kind not in _FINAL_KINDS:
            faults += _check_next(source, name, state)
            faults += _check_fallback_targets(source, name, state)
            faults += find_return_faults(source, name, state, _guess_targets(source, state))
    return [*faults, *_check_reachability(source), *_check_termination(source)]


def list_targets(state: State[..., Any]) -> list[tuple[object, object]]:
    """Return the ``next`` of a state as pairs of target and label; empty if it is neither a list nor a dict."""
    if isinstance(state.next, Mapping):
        return list(state.next.items())
    if isinstance(state.next, Sequence) and not isinstance(state.next, str):
        return [(target, "") for target in state.next]
    return []


def _check_workflow(source: ModuleSource) -> Iterator[Fault]:
    for extra in source.workflows[1:]:
        first = source.workflows[0]
        message = (
            f"a second Workflow, {extra.name!r}: a module has at most one, and {first.name!r} is at line {first.line}."
        )
        yield Fault(source.file, extra.line, f"{message}\nMove its states to a module of their own.")
    if not source.workflow and len(source.name) > MAX_NAME_LENGTH:
        yield Fault(source.file, 0, f"the module's name has more than {MAX_NAME_LENGTH} characters.\nShorten it.")
    if not source.workflow and source.name in (".", ".."):
        message = f"the module's name is {source.name!r}, which browsers remove from every URL."
        yield Fault(source.file, 0, f"{message}\nGive the workflow a name: workflow = Workflow('...').")
    if source.workflow and source.workflow.vars is not None:
        for message in _check_model(source.workflow.vars, "vars", f"Workflow({source.name!r})"):
            yield Fault(source.file, source.line, message)


def _check_names(source: ModuleSource) -> Iterator[Fault]:
    for name, value in source.namespace.items():
        if isinstance(value, State) and source.names_by_id[id(value)] != name:
            first = source.names_by_id[id(value)]
            yield source.build_fault(
                first, f"one state has two names here, {first!r} and {name!r}.\nRemove one of them."
            )
    for name in source.states:
        if len(name) > MAX_NAME_LENGTH:
            cure = f"A state's name has at most {MAX_NAME_LENGTH} characters: shorten it."
            yield source.build_fault(name, f"the state's name has {len(name)} characters: {name[:20]!r}...\n{cure}")


def _check_start(source: ModuleSource) -> Iterator[Fault]:
    starts = _find_start_states(source)
    if not starts:
        line = source.workflow.line if source.workflow else next(iter(source.states.values())).line
        cure = "Put start=True on the state where instances begin: @state(start=True, next=[...])."
        yield Fault(source.file, line, f"no state has start=True.\n{cure}")
    for name in starts[1:]:
        first = source.states[starts[0]]
        message = f"state {name!r} has start=True, and so has {starts[0]!r} at line {first.line}."
        yield source.build_fault(name, f"{message}\nInstances begin in one state: remove start=True from the other.")


def _check_form(source: ModuleSource, name: str, state: State[..., Any]) -> Iterator[Fault]:
    if state.form is None:
        return
    for message in _check_model(state.form, "form", f"state {name!r}"):
        yield source.build_fault(name, message)
    if source.workflow and source.workflow.vars is state.form:
        message = f"state {name!r} has {format_type(state.form)}, the model of the variables, as its form."
        yield source.build_fault(
            name, f"{message}\nParameters are matched by annotation: use another class for the form."
        )


def _check_model(model: object, option_name: str, owner: str) -> Iterator[str]:
    if not (inspect.isclass(model) and issubclass(model, BaseModel)):
        given = model.__name__ if inspect.isclass(model) else f"an object of {type(model).__name__}"
        message = f"{option_name} of {owner} is {given}, not a subclass of pydantic.BaseModel."
        yield f"{message}\nGive the class of the model."
        return
    try:
        build_schema(model)
    except (PydanticUserError, NameError) as error:
        cure = "Give each field a type that JSON can represent and that is defined when the module has been imported."
        yield f"{option_name} of {owner}: {model.__name__} has no JSON schema: {str(error).splitlines()[0]}\n{cure}"
        return
    for fault in find_model_faults(model):
        yield f"{option_name} of {owner}: {fault}"


def _check_next(source: ModuleSource, name: str, state: State[..., Any]) -> Iterator[Fault]:
    pairs = list_targets(state)
    if not pairs:
        yield source.build_fault(name, _describe_missing_next(name, state))
    seen: set[str] = set()
    for target, label in pairs:
        known = source.resolve_target(target)
        if known is None:
            yield source.build_fault(name, _describe_unknown_target(source, name, target, "as a next state"))
        elif known in seen:
            yield source.build_fault(
                name, f"state {name!r} lists {known!r} twice as a next state.\nRemove one of them."
            )
        else:
            seen.add(known)
        if not isinstance(label, str):
            cure = "Write a dict of state to text: next={'done': 'Approve'}."
            yield source.build_fault(
                name, f"state {name!r} has a label of type {type(label).__name__} in next.\n{cure}"
            )


def _describe_missing_next(name: str, state: State[..., Any]) -> str:
    if isinstance(state.next, str):
        return f"state {name!r} has the text {state.next!r} as next.\nWrite a list: next=[{state.next!r}]."
    if isinstance(state.next, Mapping | Sequence):
        cure = f"List its next states, or make it an end state: {name} = end()."
        return f"state {name!r} lists no next state, so an instance could never leave it.\n{cure}"
    given = type(state.next).__name__
    return f"state {name!r} has a {given} as next.\nWrite a list of states, or a dict of state to label."


def _describe_unknown_target(source: ModuleSource, name: str, target: object, role: str) -> str:
    if isinstance(target, str):
        return (
            f"state {name!r} lists {target!r} {role}, but no such state is defined here.\n{source.suggest_fix(target)}"
        )
    if isinstance(target, State):
        cure = "Import it into this module, under the name that it should have."
        return f"state {name!r} lists {target!r} {role}, which has no name in this module.\n{cure}"
    given = type(target).__name__
    return f"state {name!r} lists an object of type {given} {role}.\nGive a state or the name of a state."


def _check_fallback_targets(source: ModuleSource, name: str, state: State[..., Any]) -> Iterator[Fault]:
    for option, target in (("on_error", state.on_error), ("on_deadline", state.on_deadline)):
        if target is None:
            continue
        known = source.resolve_target(target)
        if known is None:
            yield source.build_fault(name, _describe_unknown_target(source, name, target, f"as {option}"))
        elif known not in _guess_targets(source, state):
            message = f"state {name!r} has {option}={known!r}, which its next does not list."
            yield source.build_fault(name, f"{message}\nAdd {known!r} to next.")
    if state.deadline is not None and state.on_deadline is None:
        cure = "Add on_deadline with one of its next states, or remove the deadline."
        yield source.build_fault(name, f"state {name!r} has a deadline, but no on_deadline.\n{cure}")
    if state.deadline is None and state.on_deadline is not None:
        cure = "Add deadline='3 days' or the like, or remove on_deadline."
        yield source.build_fault(name, f"state {name!r} has on_deadline, but no deadline.\n{cure}")
    for option, length in (("timeout", state.timeout), ("deadline", state.deadline)):
        if length == timedelta(0):
            yield source.build_fault(name, f"state {name!r} has a {option} of zero.\nMake it longer, or remove it.")


def _check_reachability(source: ModuleSource) -> Iterator[Fault]:
    starts = _find_start_states(source)
    if not starts:
        return
    reached = _find_reachable_states(
        starts, {name: _guess_targets(source, state) for name, state in source.states.items()}
    )
    for name in source.states:
        if name not in reached:
            cure = f"List it as a next state of another state, or delete it. Reached: {', '.join(sorted(reached))}."
            yield source.build_fault(name, f"state {name!r} cannot be reached from {starts[0]!r}.\n{cure}")


def _check_termination(source: ModuleSource) -> Iterator[Fault]:
    final = [name for name, state in source.states.items() if state.kind in _FINAL_KINDS]
    if not final:
        cure = "Define one and list it as a next state: done = end()."
        yield Fault(
            source.file, source.line, f"there is no end() or error() state, so no instance could ever end.\n{cure}"
        )
        return
    sources: dict[str, list[str]] = {name: [] for name in source.states}
    for name, state in source.states.items():
        for target in _guess_targets(source, state):
            sources[target].append(name)
    ending = _find_reachable_states([*final, *_find_states_with_faulty_next(source)], sources)
    for name in source.states:
        if name not in ending:
            cure = f"Let it, or a state after it, lead to one of: {', '.join(sorted(final))}."
            yield source.build_fault(name, f"no end can be reached from state {name!r}.\n{cure}")


def _find_states_with_faulty_next(source: ModuleSource) -> list[str]:
    """Return the states whose ``next`` is faulty. Where they lead is unknown, so they count as leading to an end."""
    return [
        name
        for name, state in source.states.items()
        if state.kind not in _FINAL_KINDS
        and (not list_targets(state) or any(source.guess_target(target) is None for target, _ in list_targets(state)))
    ]


def _find_start_states(source: ModuleSource) -> list[str]:
    return [name for name, state in source.states.items() if state.is_start]


def _guess_targets(source: ModuleSource, state: State[..., Any]) -> list[str]:
    """Return the names in a state's ``next``. A faulty target counts as the nearest name, so that it has one fault."""
    meant: list[object] = [target for target, _ in list_targets(state)]
    if isinstance(state.next, str):
        meant = [state.next]
    elif isinstance(state.next, Set):
        meant = list(state.next)
    guesses = (source.guess_target(target) for target in meant)
    return [guess for guess in guesses if guess is not None]


def _find_reachable_states(roots: Iterable[str], edges: Mapping[str, Iterable[str]]) -> set[str]:
    reached: set[str] = set()
    front = list(roots)
    while front:
        name = front.pop()
        if name not in reached:
            reached.add(name)
            front += edges[name]
    return reached
