"""The registry: the definitions that an application runs, read from its modules."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from flowlet.definition.definition import Definition, Parameter, StateDefinition, TransitionDefinition
from flowlet.definition.dependencies import Dependencies
from flowlet.definition.limits.limit_policy import LimitPolicy, build_limit_policy
from flowlet.definition.loader import format_path, import_workflow, is_path
from flowlet.definition.messages.message_definition import MessageDefinition
from flowlet.definition.module_source import ModuleSource
from flowlet.definition.parameters import read_parameters
from flowlet.definition.people.question_definition import QuestionDefinition
from flowlet.definition.people.question_faults import list_escalations, list_teams
from flowlet.definition.schedules.schedule_faults import read_schedules
from flowlet.definition.validation import find_faults, list_targets
from flowlet.errors import DefinitionError, Fault, UnknownWorkflowError
from flowlet.text import format_suggestion
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import State, StateKind

__all__ = ["Modules", "Registry"]

Modules: TypeAlias = str | ModuleType | Sequence[str | ModuleType]
"""One workflow module or several, each by its import name, its path, or as the module itself."""
MODULE_CURE = "Give the module that defines the workflow, its import name, or its path."


class Registry:
    """The loaded definitions by name.

    Args:
        dependencies: The resources for handlers; none by default. Provide them before loading a module: a handler
            with a parameter of any other type is refused.
    """

    def __init__(self, dependencies: Dependencies | None = None) -> None:
        self.provided = dependencies or Dependencies()
        self._definitions: dict[str, Definition] = {}
        self._loaded: dict[object, Definition] = {}
        self._digest: str | None = None

    def load(self, spec: str | ModuleType) -> Definition:
        """Import a module and add its workflow. A module that was loaded before is not read again.

        Args:
            spec: An import name as "shop.orders", the path of a .py file, or the module itself. ``sys.path`` is not
                changed; see ``flowlet.definition.loader.add_to_import_path``.

        Raises:
            DefinitionError: If the module cannot be imported or has faults, or another workflow has the same name.
        """
        if isinstance(spec, ModuleType):
            return self.add(spec)
        if not isinstance(spec, str):
            raise DefinitionError([Fault(repr(spec), 0, f"this is no module.\n{MODULE_CURE}")])
        if is_path(spec) and (known := self._loaded.get(str(Path(spec).expanduser().resolve()))):
            return known
        return self.add(import_workflow(spec))

    def load_all(self, specs: Modules) -> None:
        """Load one module, or several. Those without faults are loaded even if others have faults.

        Raises:
            DefinitionError: With the faults of all modules, in the order of the specs.
        """
        faults: list[Fault] = []
        for spec in [specs] if isinstance(specs, str | ModuleType) else specs:
            try:
                self.load(spec)
            except DefinitionError as error:
                faults += error.faults
        if faults:
            raise DefinitionError(faults)

    def add(self, module: ModuleType) -> Definition:
        """Add the workflow of an imported module. A module that was added before is not read again.

        Raises:
            DefinitionError: If the module has faults, or another workflow has the same name. It lists all faults.
        """
        key = _make_module_key(module)
        if known := self._loaded.get(key):
            return known
        definition = self._read_definition(ModuleSource.of(module))
        if namesake := self._definitions.get(definition.name):
            message = f"the workflow {definition.name!r} is also defined in {namesake.file}:{namesake.line}."
            cure = "Rename one of them: workflow = Workflow('...')."
            raise DefinitionError([Fault(definition.file, definition.line, f"{message}\n{cure}")])
        self._check_schedule_names(definition)
        self._definitions[definition.name] = self._loaded[key] = definition
        self._digest = None
        return definition

    def get_definition(self, name: str) -> Definition:
        """Return the definition of the named workflow.

        Raises:
            UnknownWorkflowError: If there is none. The message suggests the nearest name.
        """
        if found := self._definitions.get(name):
            return found
        known = ", ".join(self.names) or "none"
        raise UnknownWorkflowError(
            f"no workflow is called {name!r}.{format_suggestion(name, self._definitions)} Loaded: {known}."
        )

    def find_definition(self, name: str) -> Definition | None:
        """Return the definition of the named workflow; None if it is not loaded."""
        return self._definitions.get(name)

    def resolve_state(self, type: str, state: str) -> str:
        """Return the present name of a state, given that or a former one; unchanged if the workflow is not loaded."""
        definition = self._definitions.get(type)
        return definition.resolve(state) if definition else state

    @property
    def definitions(self) -> tuple[Definition, ...]:
        """All definitions, sorted by name."""
        return tuple(self._definitions[name] for name in self.names)

    @property
    def digest(self) -> str:
        """Twelve characters that differ where any of the definitions does: what can run here, in one word."""
        if self._digest is None:  # it takes the JSON schema of every model
            parts = (f"{definition.name}\n{definition.digest}" for definition in self.definitions)
            self._digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
        return self._digest

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all definitions, sorted."""
        return tuple(sorted(self._definitions))

    def _read_definition(self, source: ModuleSource) -> Definition:
        faults = find_faults(source)
        found: dict[str, tuple[Parameter, ...]] = {}
        for name in source.states:
            parameters = read_parameters(source, name, self.provided)
            found[name] = parameters.found
            faults += parameters.faults
        if faults:
            raise DefinitionError(sorted(faults, key=lambda fault: (fault.file, fault.line)))
        definition = _build_definition(source, found)
        schedules, faults = read_schedules(definition, source.workflow.schedules if source.workflow else ())
        if faults:
            raise DefinitionError(faults)
        return replace(definition, schedules=schedules)

    def _check_schedule_names(self, definition: Definition) -> None:
        owners = {schedule.name: known for known in self._definitions.values() for schedule in known.schedules}
        for schedule in definition.schedules:
            if owner := owners.get(schedule.name):
                message = f"the schedule {schedule.name!r} is also declared in {owner.file}:{owner.line}."
                cure = "Rename one of them: a schedule's name is unique over all workflows."
                raise DefinitionError([Fault(definition.file, definition.line, f"{message}\n{cure}")])


def _make_module_key(module: ModuleType) -> object:
    file = getattr(module, "__file__", None)
    return str(Path(file).resolve()) if file else module


def _build_definition(source: ModuleSource, parameters: dict[str, tuple[Parameter, ...]]) -> Definition:
    workflow = source.workflow
    retry = workflow.retry if workflow else Retry()
    version = workflow.version if workflow else 1
    limit, rate = (workflow.limit, workflow.rate) if workflow else (None, None)
    limits = build_limit_policy(source.name, None, version, limit=limit, rate=rate)
    states = {
        name: replace(
            _build_state_definition(source, name, state, retry, parameters[name]),
            limits=_build_state_limits(source, name, version) or (limits if state.handler else None),
        )
        for name, state in source.states.items()
    }
    return Definition(
        name=source.name,
        description=source.description,
        version=version,
        module=source.module,
        file=source.file,
        line=source.line,
        start=next(name for name, state in source.states.items() if state.is_start),
        states=states,
        retry=retry,
        group=workflow.group if workflow else "default",
        priority=workflow.priority if workflow else 0,
        loop_limit=workflow.loop_limit if workflow else 10_000,
        vars=workflow.vars if workflow else None,
        names_by_id=source.names_by_id,
        state_objects=tuple(source.states.values()),
        migrations=source.migrations,
        vars_version=source.migrations[-1].from_version + 1 if source.migrations else 0,
        source_digest=source.digest,
        keep=workflow.keep if workflow else None,
        summary=workflow.summary if workflow else None,
        limits=limits,
    )


def _build_state_limits(source: ModuleSource, name: str, version: int) -> LimitPolicy | None:
    state = source.states[name]
    return build_limit_policy(source.name, name, version, limit=state.limit, rate=state.rate, breaker=state.breaker)


def _build_state_definition(
    source: ModuleSource, name: str, state: State[..., Any], retry: Retry, parameters: tuple[Parameter, ...]
) -> StateDefinition:
    return StateDefinition(
        name=name,
        kind=state.kind,
        description=state.description,
        file=format_path(state.file) if state.file else source.file,
        line=state.line,
        transitions=tuple(
            TransitionDefinition(source.resolve_target(target) or "", str(label))
            for target, label in list_targets(state)
        ),
        retry=state.retry or retry,
        timeout=state.timeout,
        on_error=source.resolve_target(state.on_error),
        form=state.form,
        deadline=state.deadline,
        on_deadline=source.resolve_target(state.on_deadline),
        handler=state.handler,
        is_async=_is_async(state),
        parameters=parameters,
        renamed_from=state.renamed_from,
        messages=tuple(MessageDefinition(name, model) for name, model in state.messages.items()),
        question=_build_question(source, state) if state.kind is StateKind.MANUAL else None,
    )


def _build_question(source: ModuleSource, state: State[..., Any]) -> QuestionDefinition:
    asked = state.question
    return QuestionDefinition(
        title=asked.title,
        show=tuple(asked.show),
        summary=source.workflow.summary if source.workflow else None,
        teams=tuple(team.name for team in list_teams(asked)),
        not_by=asked.not_by,
        approvals=tuple((source.resolve_target(target) or "", count) for target, count in asked.approvals.items()),
        remind=asked.remind,
        escalations=list_escalations(asked),
    )


def _is_async(state: State[..., Any]) -> bool:
    """Return whether calling the handler, or the function that a plain decorator wraps, returns a coroutine."""
    handler = state.handler
    return inspect.iscoroutinefunction(handler) or (
        handler is not None and inspect.iscoroutinefunction(inspect.unwrap(handler))
    )
