"""A definition: the shape of a workflow, read from its module once and immutable from then on."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from flowlet.clock import to_microseconds
from flowlet.durations import Duration
from flowlet.errors import UnknownStateError, VariablesError
from flowlet.instance.instance import PRIORITIES, NewInstance, Status
from flowlet.text import MAX_IDENTIFIER_LENGTH, find_text_fault
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import State, StateKind

__all__ = ["Definition", "Parameter", "ParameterRole", "StateDefinition", "TransitionDefinition", "validate_model"]


class ParameterRole(StrEnum):
    """What a handler's parameter is filled with."""

    VARS = "vars"
    FORM = "form"
    CONTEXT = "context"
    RESOURCE = "resource"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A handler's parameter; ``type`` is its annotation, the key under which a resource is provided."""

    name: str
    role: ParameterRole
    type: Any


@dataclass(frozen=True, slots=True)
class TransitionDefinition:
    """An edge of the graph; ``label`` is what a button or the diagram says, empty for none."""

    target: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class StateDefinition:
    """A state as its definition knows it.

    ``retry`` is the effective policy: the state's own, or the workflow's. ``line`` is counted from 1.
    """

    name: str
    kind: StateKind
    description: str
    file: str
    line: int
    transitions: tuple[TransitionDefinition, ...]
    retry: Retry
    timeout: timedelta | None
    on_error: str | None
    form: type[BaseModel] | None
    deadline: timedelta | None
    on_deadline: str | None
    handler: Callable[..., Any] | None
    is_async: bool
    parameters: tuple[Parameter, ...]

    @property
    def is_final(self) -> bool:
        """Whether an instance ends here."""
        return self.kind in (StateKind.END, StateKind.ERROR)

    @property
    def is_manual(self) -> bool:
        """Whether it waits for an answer."""
        return self.kind == StateKind.MANUAL

    def has_transition_to(self, target: str) -> bool:
        """Return whether an edge leads to the named state."""
        return any(transition.target == target for transition in self.transitions)

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the states it may go to, in the order of the source."""
        return tuple(transition.target for transition in self.transitions)


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """The shape of a workflow: its states, its variables' model, its policies. Equal only to itself, and hashable.

    Attributes:
        description: The workflow's, or its module's docstring.
        module: How it was loaded: an import name or an absolute path.
        file: As messages show it: relative where it is below the working directory.
        line: Where the ``Workflow`` is made; counted from 1.
        start: The name of the state in which instances begin.
        states: By name, in the order of the source, imported ones last; read only.
        group: The executor group of its instances.
        priority: Of its instances, 0 to 9.
        loop_limit: After how many transitions without any wait an instance is taken to run in circles.
        vars: The model of the variables, or None where they are a free JSON object.
        names_by_id: The name of each state object, by its ``id()``; read only.
        state_objects: The state objects, held so that no ``id()`` in ``names_by_id`` is given to another object.
    """

    name: str
    description: str
    version: int
    module: str
    file: str
    line: int
    start: str
    states: Mapping[str, StateDefinition]
    retry: Retry
    group: str
    priority: int
    loop_limit: int
    vars: type[BaseModel] | None
    names_by_id: Mapping[int, str] = field(repr=False)
    state_objects: tuple[State[..., Any], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "states", MappingProxyType(dict(self.states)))
        object.__setattr__(self, "names_by_id", MappingProxyType(dict(self.names_by_id)))

    def get_state(self, name: str) -> StateDefinition:
        """Return the named state.

        Raises:
            UnknownStateError: If there is none.
        """
        try:
            return self.states[name]
        except KeyError:
            raise UnknownStateError(
                f"{self.name} version {self.version} has no state {name!r}. It has: {', '.join(self.states)}."
            ) from None

    def get_state_name(self, state_object: State[..., Any]) -> str | None:
        """Return the name that a state object has here, or None where it belongs to another module."""
        return self.names_by_id.get(id(state_object))

    def read_vars(self, text: str) -> BaseModel | dict[str, Any]:
        """Return the variables from their JSON text: a new model object, or a dict where there is no model.

        Raises:
            VariablesError: If they do not fit the model.
        """
        if self.vars is None:
            value: dict[str, Any] = orjson.loads(text)
            return value
        try:
            return self.vars.model_validate_json(text)
        except ValidationError as error:
            raise _build_variables_error(f"the variables of {self.name}", error) from None

    def write_vars(self, value: BaseModel | Mapping[str, Any]) -> str:
        """Return the JSON text of variables.

        Raises:
            VariablesError: If they cannot be written as JSON.
        """
        try:
            if isinstance(value, BaseModel):
                # Pydantic's warnings show values; what does not fit is told by reading the text again.
                return value.model_dump_json(by_alias=True, warnings=False)
            return orjson.dumps(dict(value)).decode()
        except (TypeError, PydanticSerializationError) as error:
            raise VariablesError(f"the variables of {self.name}", {"": str(error)}) from None

    def build_instance(
        self,
        vars: BaseModel | Mapping[str, Any] | None,
        *,
        now: int,
        key: str | None = None,
        external_id: str | None = None,
        group: str | None = None,
        priority: int | None = None,
        parent_id: int | None = None,
        username: str | None = None,
    ) -> NewInstance:
        """Return a new instance, checked: ready for the store.

        Args:
            vars: The variables; None means an empty object.
            now: The store's time, in microseconds since 1970 UTC.
            key: The business key; empty if None.
            external_id: Unique over all instances; a random one if None.
            group: Instead of the workflow's executor group.
            priority: Instead of the workflow's, 0 to 9.
            parent_id: Whose child it is.
            username: Who creates it.

        Raises:
            VariablesError: If the variables do not fit the model, or another value cannot be stored; fields are named.
        """
        start = self.states[self.start]
        faults = _check_texts(externalId=external_id, businessKey=key, executorGroup=group)
        level = self.priority if priority is None else priority
        if level not in PRIORITIES:
            faults["priority"] = f"{level!r} is not a whole number from 0 to 9"
        if faults:
            raise VariablesError(f"a new {self.name}", faults)
        deadline = now + to_microseconds(start.deadline) if start.deadline else None
        return NewInstance(
            type=self.name,
            definition_version=self.version,
            external_id=external_id or str(uuid.uuid4()),
            key=key or "",
            group=group or self.group,
            priority=level,
            state=self.start,
            status=Status.WAITING if start.is_manual else Status.NEW,
            vars_json=self.validate_vars({} if vars is None else vars),
            next_activation_us=deadline if start.is_manual else now,
            parent_id=parent_id,
            username=username,
        )

    def validate_vars(self, vars: BaseModel | Mapping[str, Any]) -> str:
        """Return variables given from outside as JSON text, checked against the model and with its defaults.

        Raises:
            VariablesError: If they do not fit.
        """
        if not isinstance(vars, BaseModel | Mapping):
            raise VariablesError(
                f"the variables of {self.name}", {"": f"has to be an object, not {type(vars).__name__}"}
            )
        if self.vars is None or isinstance(vars, self.vars):
            return self.write_vars(vars)
        plain = vars.model_dump(mode="json", by_alias=True) if isinstance(vars, BaseModel) else vars
        return self.write_vars(validate_model(self.vars, plain, f"the variables of {self.name}"))

    def to_json(self) -> dict[str, Any]:
        """Return the definition as plain JSON values, in camelCase: what the store keeps and the API shows."""
        return {
            "name": self.name,
            "description": self.description,
            "version": self.version,
            "start": self.start,
            "executorGroup": self.group,
            "priority": self.priority,
            "loopLimit": self.loop_limit,
            "retry": _retry_to_json(self.retry),
            "variables": self.vars.model_json_schema() if self.vars else {"type": "object"},
            "states": [_state_to_json(state) for state in self.states.values()],
        }


def validate_model(model: type[BaseModel], values: Mapping[str, Any], subject: str) -> BaseModel:
    """Return a model object made from plain JSON values.

    Raises:
        VariablesError: If they do not fit; each field's path is named, its value is not.
    """
    try:
        return model.model_validate_json(orjson.dumps(dict(values)))
    except TypeError as error:
        raise VariablesError(subject, {"": str(error)}) from None
    except ValidationError as error:
        raise _build_variables_error(subject, error) from None


def _build_variables_error(subject: str, error: ValidationError) -> VariablesError:
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    return VariablesError(subject, {".".join(str(part) for part in fault["loc"]): fault["msg"] for fault in faults})


def _check_texts(**texts: str | None) -> dict[str, str]:
    faults = {}
    for name, text in texts.items():
        if text is None:
            continue
        if not isinstance(text, str) or not 1 <= len(text) <= MAX_IDENTIFIER_LENGTH:
            faults[name] = f"has to be a text of 1 to {MAX_IDENTIFIER_LENGTH} characters"
        elif text != text.strip():
            faults[name] = "begins or ends with white space"
        elif fault := find_text_fault(text):
            faults[name] = fault
    return faults


def _retry_to_json(retry: Retry) -> dict[str, Any]:
    return {
        "limit": retry.limit,
        "min": _duration_to_json(retry.min),
        "max": _duration_to_json(retry.max),
        "backoff": retry.backoff,
        "never": [error.__qualname__ for error in retry.never],
    }


def _duration_to_json(value: Duration) -> str:
    return value if isinstance(value, str) else f"{value.total_seconds():g}s"


def _state_to_json(state: StateDefinition) -> dict[str, Any]:
    return {
        "name": state.name,
        "kind": state.kind.value,
        "description": state.description,
        "line": state.line,
        "transitions": [{"target": edge.target, "label": edge.label} for edge in state.transitions],
        "retry": _retry_to_json(state.retry),
        "timeoutSeconds": state.timeout.total_seconds() if state.timeout else None,
        "onError": state.on_error,
        "form": state.form.model_json_schema() if state.form else None,
        "deadlineSeconds": state.deadline.total_seconds() if state.deadline else None,
        "onDeadline": state.on_deadline,
    }
