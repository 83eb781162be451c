"""A definition: the immutable shape of a workflow, read once from its module."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from flowlet.clock import limit_time, to_microseconds
from flowlet.definition.codec import ModelCodec
from flowlet.definition.document import build_document
from flowlet.definition.kept_names import KeptNames
from flowlet.definition.limits.limit_policy import LimitPolicy
from flowlet.definition.messages.message_definition import MessageDefinition
from flowlet.definition.people.question_definition import QuestionDefinition, build_inbox_entry
from flowlet.definition.schedules.schedule_definition import ScheduleDefinition
from flowlet.errors import UnknownStateError, VariablesError
from flowlet.instance.external_id import generate_external_id
from flowlet.instance.identifier_faults import find_identifier_faults
from flowlet.instance.instance import PRIORITIES, Status
from flowlet.instance.json_text import find_json_faults, has_nul, is_plain, parse_json, write_if_possible, write_json
from flowlet.instance.new_instance import NewInstance
from flowlet.workflow.keep import Keep
from flowlet.workflow.migration import VarsMigration
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import State, StateKind

__all__ = [
    "Definition",
    "Parameter",
    "ParameterRole",
    "StateDefinition",
    "TransitionDefinition",
]


class ParameterRole(StrEnum):
    """The value that a handler's parameter receives."""

    VARS = "vars"
    FORM = "form"
    MESSAGE = "message"
    CONTEXT = "context"
    RESOURCE = "resource"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A handler's parameter. ``type`` is its annotation, by which a resource is found."""

    name: str
    role: ParameterRole
    type: Any


@dataclass(frozen=True, slots=True)
class TransitionDefinition:
    """A transition of the graph. ``label`` is the text on its button and in the diagram; empty for none."""

    target: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class StateDefinition:
    """A state of a definition.

    ``retry`` is the effective policy: the state's own, or the workflow's. ``line`` is counted from 1.
    ``renamed_from`` are its names in earlier versions. ``form_codec`` reads and writes the form; None without one.
    ``messages`` are those that a receive state waits for; empty for every other state.
    ``question`` is that of a manual state. ``limits`` are its own, or the workflow's; None for none.
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
    renamed_from: tuple[str, ...] = ()
    messages: tuple[MessageDefinition, ...] = ()
    question: QuestionDefinition | None = None
    limits: LimitPolicy | None = None
    form_codec: ModelCodec | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        subject = f"the form of {self.name!r}"
        object.__setattr__(self, "form_codec", ModelCodec(self.form, subject) if self.form else None)

    @property
    def is_final(self) -> bool:
        """Whether an instance ends here."""
        return self.kind in (StateKind.END, StateKind.ERROR)

    @property
    def is_manual(self) -> bool:
        """Whether an instance waits for an answer here."""
        return self.kind == StateKind.MANUAL

    @property
    def is_receive(self) -> bool:
        """Whether an instance waits for a message here."""
        return self.kind == StateKind.RECEIVE

    @property
    def entry_limits(self) -> LimitPolicy | None:
        """The limits that hold where it is entered: no answer and no message is waited for. None for none."""
        return self.limits if self.kind in (StateKind.START, StateKind.NORMAL) else None

    def has_transition_to(self, target: str) -> bool:
        """Return whether a transition leads to the named state."""
        return any(transition.target == target for transition in self.transitions)

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the next states, in the order of the source."""
        return tuple(transition.target for transition in self.transitions)


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """The shape of a workflow: its states, its model, its policies. Hashable, and equal only to itself.

    Attributes:
        name: The workflow's name.
        description: The description of the workflow, or the docstring of its module.
        version: The workflow's version.
        module: The import name or the absolute path by which it was loaded.
        file: The file as messages show it: relative if it is below the working directory.
        line: The line of ``Workflow(...)``, counted from 1.
        start: The name of the start state.
        states: The states by name, in the order of the source, imported ones last; read only.
        retry: The workflow's retry policy.
        group: The executor group of its instances.
        priority: The priority of its instances, 0 to 9.
        loop_limit: The most transitions in a row without any wait.
        vars: The model of the variables, or None if they are a free JSON object.
        codec: Reads and writes the variables; None if they are a free JSON object.
        names_by_id: The name of each state object, by its ``id()``; read only.
        state_objects: The state objects. Holding them keeps each ``id()`` in ``names_by_id`` from being reused.
        migrations: The migrations of variables, by their versions.
        vars_version: The version of the variables that it writes: one above its last migration's, or 0 without one. It
            never runs an instance whose variables have a higher version.
        source_digest: Another text for each text of its module and of those that it imports; empty for a definition
            that was read from the database.
        schedules: The schedules that its module declares.
        keep: How long its instances are kept after they have ended; None where FLOWLET_KEEP says it.
        summary: The template of an instance in one line; None for none.
        limits: The limits of all states together; None for none.
        present_names: The present name of each renamed state, by its former one; read only.
        messages: The messages that its receive states wait for, by name; read only.
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
    migrations: tuple[VarsMigration, ...] = field(default=(), repr=False)
    vars_version: int = 0
    source_digest: str = field(default="", repr=False)
    schedules: tuple[ScheduleDefinition, ...] = field(default=(), repr=False)
    keep: Keep | None = None
    summary: str | None = None
    limits: LimitPolicy | None = None
    codec: ModelCodec | None = field(init=False, repr=False)
    present_names: Mapping[str, str] = field(init=False, repr=False)
    messages: Mapping[str, MessageDefinition] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "codec", ModelCodec(self.vars, self.subject) if self.vars else None)
        object.__setattr__(self, "states", MappingProxyType(dict(self.states)))
        object.__setattr__(self, "names_by_id", MappingProxyType(dict(self.names_by_id)))
        former = {name: state.name for state in self.states.values() for name in state.renamed_from}
        object.__setattr__(self, "present_names", MappingProxyType(former))
        messages = {one.name: one for state in self.states.values() for one in state.messages}
        object.__setattr__(self, "messages", MappingProxyType(messages))

    def resolve(self, name: str) -> str:
        """Return the present name of a state, given that or a former one; an unknown name stays as it is."""
        return self.present_names.get(name, name)

    def find_state(self, name: str) -> StateDefinition | None:
        """Return the state of a present or a former name; None if the definition has no such state."""
        return self.states.get(name) or self.states.get(self.resolve(name))

    def get_state(self, name: str) -> StateDefinition:
        """Return the state of a present or a former name.

        Raises:
            UnknownStateError: If the definition has no such state.
        """
        if found := self.find_state(name):
            return found
        raise UnknownStateError(
            f"{self.name} version {self.version} has no state {name!r}. It has: {', '.join(self.states)}."
        )

    def get_state_name(self, state_object: State[..., Any]) -> str | None:
        """Return the name of a state object in this definition, or None if it belongs to another one."""
        return self.names_by_id.get(id(state_object))

    @property
    def digest(self) -> str:
        """Sixty-four characters that differ with its shape and with the text of its module."""
        document = write_json(self.to_json(), is_sorted=True)
        return hashlib.sha256(f"{self.source_digest}{document}".encode()).hexdigest()

    @property
    def subject(self) -> str:
        """What its variables are called in messages."""
        return f"the variables of {self.name}"

    def read_vars(self, text: str) -> BaseModel | dict[str, Any]:
        """Return the variables from their JSON text: a new model object, or a dict if there is no model.

        Raises:
            VariablesError: If they do not fit the model.
        """
        if self.codec is None:
            value: dict[str, Any] = parse_json(text)
            return value
        return self.codec.read(text)

    def find_kept_names(self, text: str, value: BaseModel | dict[str, Any]) -> KeptNames | None:
        """Return the names inside of stored variables that the model does not declare; see ``ModelCodec``."""
        return self.codec.find_kept_names(text, value) if self.codec and isinstance(value, BaseModel) else None

    def save_vars(
        self, value: BaseModel | Mapping[str, Any], previous_text: str | None = None
    ) -> tuple[str, BaseModel | None]:
        """Return the JSON text of variables that survive being stored, and the model object that it is read as.

        Args:
            value: The model object, or the values if there is no model.
            previous_text: The text that is stored already; if it has not changed, there may be no object.

        Raises:
            VariablesError: If a value would not be read back as the same value of the same type. Names the fields.
        """
        if self.codec is not None and isinstance(value, BaseModel):
            return self.codec.save(value, previous_text)
        values = value if type(value) is dict else dict(value)
        if not is_plain(values) or (text := write_if_possible(values)) is None or has_nul(text):
            if faults := find_json_faults(values):
                raise VariablesError(self.subject, faults)
            text = write_json(values)
        return text, None

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
        root_id: int | None = None,
        username: str | None = None,
    ) -> NewInstance:
        """Return a validated new instance, ready for the store.

        Args:
            vars: The variables; None means an empty object.
            now: The store's time, in microseconds since 1970 UTC.
            key: The business key; the external id if None.
            external_id: Unique over all instances; a UUID of version 7 if None.
            group: The executor group; the workflow's if None.
            priority: 0 to 9; the workflow's if None.
            parent_id: The id of its parent, if it is a child.
            root_id: The id of its parent's first ancestor, or the parent's own, if it is a child.
            username: The user who creates it; None for code.

        Raises:
            VariablesError: If the variables do not fit the model, or another value cannot be stored. Names the fields.
        """
        start = self.states[self.start]
        faults = find_identifier_faults(externalId=external_id, businessKey=key, executorGroup=group)
        if external_id in (".", ".."):
            faults["externalId"] = f"cannot be {external_id!r}: clients remove it from every URL"
        level = self.priority if priority is None else priority
        if level not in PRIORITIES:
            faults["priority"] = f"{level!r} is not a whole number from 0 to 9"
        if faults:
            raise VariablesError(f"a new {self.name}", faults)
        external_id = external_id or generate_external_id(now)
        deadline = limit_time(now + to_microseconds(start.deadline)) if start.deadline else None
        vars_json = self.validate_vars({} if vars is None else vars)
        return NewInstance(
            type=self.name,
            definition_version=self.version,
            external_id=external_id,
            key=key or external_id,
            group=group or self.group,
            priority=level,
            state=self.start,
            status=Status.WAITING if start.is_manual else Status.NEW,
            vars_json=vars_json,
            next_activation_us=deadline if start.is_manual else now,
            parent_id=parent_id,
            root_id=root_id,
            username=username,
            vars_version=self.vars_version,
            inbox=build_inbox_entry(start.question, vars_json, visit=0, entered_us=now) if start.is_manual else None,
            gate=start.entry_limits.build_gate(vars_json) if start.entry_limits else None,
        )

    def validate_vars(self, vars: BaseModel | Mapping[str, Any]) -> str:
        """Return the JSON text of variables from outside, validated against the model and with its defaults.

        Raises:
            VariablesError: If they do not fit.
        """
        if not isinstance(vars, BaseModel | Mapping):
            raise VariablesError(self.subject, {"": f"has to be an object, not {type(vars).__name__}"})
        if self.codec is None or type(vars) is self.vars:
            return self.save_vars(vars)[0]
        plain = vars.model_dump(mode="json", by_alias=True) if isinstance(vars, BaseModel) else vars
        return self.save_vars(self.codec.validate(plain))[0]

    def to_json(self) -> dict[str, Any]:
        """Return the definition as plain JSON values with names in camelCase, as the store and the API use it."""
        return build_document(self)
