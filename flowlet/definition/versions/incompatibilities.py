"""The instances in flight that a definition cannot run, with the cure of each kind.

A definition is compared with the groups of instances and with a sample of their variables, before it is deployed:
nothing here reads or writes a database, and no handler runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from flowlet.definition.definition import Definition, ParameterRole, StateDefinition
from flowlet.definition.versions.migrations import VersionError, describe_higher_version, migrate_vars
from flowlet.errors import VariablesError
from flowlet.instance.in_flight import InFlightGroup, InFlightSample
from flowlet.instance.instance import Status
from flowlet.text import clean_text, format_suggestion

__all__ = ["Incompatibility", "IncompatibilityRule", "VersionComparison"]

EXAMPLE_COUNT = 3
"""How many instances a finding names."""
_INDEX = re.compile(r"(?<=\.)\d+(?=\.|$)")
_REQUIRED = "Field required"
_MIGRATE = "@migrate"
"""What stands in a cure for the migration that would help, until all versions are known."""


class IncompatibilityRule(StrEnum):
    """Why a definition cannot run instances."""

    UNKNOWN_STATE = "unknown state"
    """It does not have their state."""
    NOT_MANUAL = "not manual"
    """They wait for a person in a state that is not a manual state any more."""
    HIGHER_VARS_VERSION = "higher vars version"
    """Their variables were migrated by a higher version of the workflow."""
    FAILING_MIGRATION = "failing migration"
    """A migration of their variables raises, or returns what cannot be stored."""
    UNREADABLE_VARS = "unreadable variables"
    """The model cannot read their variables."""


@dataclass(frozen=True, slots=True)
class Incompatibility:
    """Instances in one state that a definition cannot run, for one reason.

    Attributes:
        workflow: The workflow.
        rule: The kind of reason.
        state: Their state, by the name that is stored.
        versions: The versions of the workflow that wrote them last, in order.
        count: How many they are: counted, or of those whose variables were read.
        read_count: How many instances in this state were read to find them; None if all were counted.
        in_state: How many instances are in this state.
        ids: Some of them, the lowest first.
        fault: What the definition cannot do with them, and what would become of them; a sentence without a full stop.
        cure: What to change before the deploy; a sentence.
    """

    workflow: str
    rule: IncompatibilityRule
    state: str
    versions: tuple[int, ...]
    count: int
    read_count: int | None
    in_state: int
    ids: tuple[int, ...]
    fault: str
    cure: str

    @property
    def message(self) -> str:
        """One line for people: how many, where, why, examples, and the cure."""
        number = f"{self.count:,}"
        if self.read_count is not None and self.read_count < self.in_state:
            number = f"{self.count:,} of the {self.read_count:,} that were read, of {self.in_state:,}"
        written = f"version{'s' if len(self.versions) > 1 else ''} {', '.join(map(str, self.versions))}"
        examples = f"{'ids' if len(self.ids) > 1 else 'id'} {', '.join(map(str, self.ids))}"
        more = ", ..." if self.count > len(self.ids) else ""
        where = f"{self.workflow}: {number} in state {self.state!r}, written by {written} ({examples}{more})"
        return clean_text(f"{where}: {self.fault}. {self.cure}")


@dataclass(slots=True)
class _Case:
    """What is collected of an incompatibility."""

    cure: str
    count: int = 0
    ids: list[int] = field(default_factory=list)
    versions: set[int] = field(default_factory=set)

    def add(self, version: int, *ids: int, count: int = 1) -> None:
        self.count += count
        self.ids += ids
        self.versions.add(version)


class VersionComparison:
    """The comparison of a definition with the instances in flight of its workflow.

    Args:
        definition: The definition that is to be deployed.
        groups: All instances in flight of the workflow.
    """

    def __init__(self, definition: Definition, groups: Iterable[InFlightGroup]) -> None:
        self._definition = definition
        self._cases: dict[tuple[IncompatibilityRule, str, str], _Case] = {}
        self._in_state: dict[str, int] = {}
        self._read: dict[str, int] = {}
        self._sampled: set[str] = set()
        for group in groups:
            self._in_state[group.state] = self._in_state.get(group.state, 0) + group.count
            self._compare_group(group)

    def add_sample(self, sample: InFlightSample) -> None:
        """Migrate and read the variables of an instance, if a handler can come to read them."""
        state = self._definition.find_state(sample.state)
        if state is None or sample.vars_version > self._definition.vars_version:
            return
        if not _may_read_vars(self._definition, state):
            return
        self._read[sample.state] = self._read.get(sample.state, 0) + 1
        try:
            self._definition.read_vars(migrate_vars(self._definition, sample.vars_json, sample.vars_version))
        except VersionError as error:
            fault = f"{error}: they would wait until a version runs that can read their variables"
            cure = "Correct the migration; it is called again when an instance is next loaded."
            self._add(IncompatibilityRule.FAILING_MIGRATION, sample.state, fault, cure, sample)
        except VariablesError as error:
            fault = f"{self._subject} cannot read their variables ({_format_faults(error)}): they would wait"
            fault = f"{fault} until a version runs that can"
            self._add(IncompatibilityRule.UNREADABLE_VARS, sample.state, fault, self._find_vars_cure(error), sample)
        except Exception as error:  # noqa: BLE001 - a validator is the user's code
            fault = f"reading their variables raises {type(error).__name__}: each attempt would fail"
            cure = "Let the validators of the model raise ValueError only."
            self._add(IncompatibilityRule.UNREADABLE_VARS, sample.state, fault, cure, sample)

    def list_incompatibilities(self) -> list[Incompatibility]:
        """Return what was found, by rule and state."""
        found = []
        for (rule, state, fault), case in self._cases.items():
            is_sampled = rule in (IncompatibilityRule.FAILING_MIGRATION, IncompatibilityRule.UNREADABLE_VARS)
            found.append(
                Incompatibility(
                    workflow=self._definition.name,
                    rule=rule,
                    state=state,
                    versions=tuple(sorted(case.versions)),
                    count=case.count,
                    read_count=self._read[state] if is_sampled else None,
                    in_state=self._in_state.get(state, case.count),
                    ids=tuple(sorted(set(case.ids))[:EXAMPLE_COUNT]),
                    fault=fault,
                    cure=case.cure.replace(_MIGRATE, self._describe_migration(case)),
                )
            )
        order = list(IncompatibilityRule)
        return sorted(found, key=lambda one: (order.index(one.rule), one.state, one.fault))

    @property
    def _subject(self) -> str:
        return f"version {self._definition.version}"

    def _compare_group(self, group: InFlightGroup) -> None:
        definition, name = self._definition, group.state
        state = definition.find_state(name)
        if state is None:
            fault = f"{self._subject} has no state {name!r}: they would wait until a version runs that has it"
            suggestion = format_suggestion(name, definition.states)
            cure = f"Give the state that replaces it renamed_from={name!r}, or restore it.{suggestion}"
            self._add_group(IncompatibilityRule.UNKNOWN_STATE, group, fault, cure)
        elif group.vars_version > definition.vars_version:
            fault = f"{describe_higher_version(definition, group.vars_version)}: they would wait until one runs"
            fault = f"{fault} that does, as after a rollback past a migration"
            cure = "Deploy a version that has the migration."
            self._add_group(IncompatibilityRule.HIGHER_VARS_VERSION, group, fault, cure)
        elif group.status is Status.WAITING and not (state.is_manual or state.is_receive):
            kind = state.kind.value
            fault = f"they wait for a person or a message, and in {self._subject} this state is of kind {kind!r}"
            fault = f"{fault}: they could not be answered"
            cure = "Keep its kind under its name, or answer or move them before the deploy."
            self._add_group(IncompatibilityRule.NOT_MANUAL, group, fault, cure)

    def _add_group(self, rule: IncompatibilityRule, group: InFlightGroup, fault: str, cure: str) -> None:
        case = self._cases.setdefault((rule, group.state, fault), _Case(cure))
        case.add(group.version, group.first_id, group.last_id, count=group.count)

    def _add(self, rule: IncompatibilityRule, state: str, fault: str, cure: str, sample: InFlightSample) -> None:
        self._cases.setdefault((rule, state, fault), _Case(cure)).add(sample.version, sample.id)

    def _find_vars_cure(self, error: VariablesError) -> str:
        missing = [name for name, fault in error.faults.items() if fault == _REQUIRED]
        if len(missing) == len(error.faults):
            names = ", ".join(repr(_INDEX.sub("*", name)) for name in dict.fromkeys(missing))
            return f"Give {names} a default, or write {_MIGRATE}."
        return f"Let the model accept what is stored, or write {_MIGRATE}."

    def _describe_migration(self, case: _Case) -> str:
        newest = max(case.versions)
        migration = f"@migrate(from_version={newest})"
        return migration if newest < self._definition.version else f"{migration} in version {newest + 1}"


def _may_read_vars(definition: Definition, state: StateDefinition) -> bool:
    """Return whether a handler reads the variables in a state, or in one that can follow."""
    seen = {state.name}
    coming = [state]
    while coming:
        one = coming.pop()
        if _reads_vars(definition, one):
            return True
        for name in _list_next_names(one):
            if name not in seen:
                seen.add(name)
                coming.append(definition.states[name])
    return False


def _reads_vars(definition: Definition, state: StateDefinition) -> bool:
    roles = {parameter.role for parameter in state.parameters}
    return ParameterRole.VARS in roles or (definition.vars is None and ParameterRole.CONTEXT in roles)


def _list_next_names(state: StateDefinition) -> Iterator[str]:
    yield from state.targets
    yield from (name for name in (state.on_error, state.on_deadline) if name is not None)


def _format_faults(error: VariablesError) -> str:
    """Return the faults, with a star for each place in a list: so that many instances have the same text."""
    listed = [f"{_INDEX.sub('*', name)}: {fault}" if name else fault for name, fault in error.faults.items()]
    return "; ".join(_keep_first(listed))


def _keep_first(texts: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(texts))
