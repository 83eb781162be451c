"""The contents of a workflow module before validation: its states by name, its ``Workflow``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from flowlet.definition.loader import PATH_PREFIX, format_path
from flowlet.definition.versions.source_digest import compute_source_digest
from flowlet.errors import Fault
from flowlet.text import find_nearest_name, format_suggestion
from flowlet.workflow.migration import VarsMigration
from flowlet.workflow.states import State
from flowlet.workflow.workflow import Workflow

__all__ = ["ModuleSource"]


@dataclass(frozen=True, slots=True)
class ModuleSource:
    """A workflow module before validation.

    Attributes:
        module: The import name or the absolute path by which it was loaded.
        name: The workflow's name.
        file: The module's file as messages show it.
        docstring: The module's docstring.
        states: The states by name, in the order of the source, imported ones last. A state with two names is listed
            under the first.
        names_by_id: The name of each state object, by its ``id()``.
        workflows: The ``Workflow`` objects of the module; more than one is a fault.
        migrations: The migrations of variables, by their versions.
        digest: Another text for each text of the module, and of those that it imports.
        namespace: The module's namespace.
    """

    module: str
    name: str
    file: str
    docstring: str
    states: Mapping[str, State[..., Any]]
    names_by_id: Mapping[int, str]
    workflows: tuple[Workflow, ...]
    migrations: tuple[VarsMigration, ...]
    digest: str
    namespace: Mapping[str, Any]

    @classmethod
    def of(cls, module: ModuleType) -> ModuleSource:
        """Return the contents of an imported module.

        A ``Workflow`` that the module imports from another file belongs to that file and is ignored. An imported state
        belongs to this module too.
        """
        file = getattr(module, "__file__", None)
        namespace = dict(vars(module))
        workflows = _find_workflows(namespace, file)
        names: dict[int, str] = {}
        for name, value in namespace.items():
            if isinstance(value, State):
                names.setdefault(id(value), name)
        found = sorted(names.values(), key=lambda name: _make_sort_key(namespace[name], file))
        return cls(
            module=_find_module_spec(module, file),
            name=workflows[0].name if workflows else _to_camel_case(_derive_short_name(module, file)),
            file=format_path(file) if file else module.__name__,
            docstring=inspect.cleandoc(module.__doc__ or ""),
            states={name: namespace[name] for name in found},
            names_by_id=names,
            workflows=workflows,
            migrations=_find_migrations(namespace),
            digest=compute_source_digest(module),
            namespace=namespace,
        )

    @property
    def workflow(self) -> Workflow | None:
        """The module's ``Workflow``, or None."""
        return self.workflows[0] if self.workflows else None

    @property
    def line(self) -> int:
        """The line of ``Workflow(...)``, or 1."""
        return self.workflow.line if self.workflow else 1

    @property
    def description(self) -> str:
        """The workflow's description; without one, the module's docstring."""
        given = self.workflow.description if self.workflow else None
        return self.docstring if given is None else inspect.cleandoc(given)

    def resolve_target(self, target: object) -> str | None:
        """Return the name of a state, given its name or its object; None if this module has no such state."""
        value = self.namespace.get(target) if isinstance(target, str) else target
        return self.names_by_id.get(id(value)) if isinstance(value, State) else None

    def guess_target(self, target: object) -> str | None:
        """Return the name of a state, or for a misspelt name the nearest one; None if there is none."""
        return self.resolve_target(target) or (
            find_nearest_name(target, self.states) if isinstance(target, str) else None
        )

    def suggest_fix(self, target: str) -> str:
        """Return the likely cure for a name that no state has."""
        if inspect.isroutine(self.namespace.get(target)):
            return f"{target!r} is a plain function here: put @state(next=[...]) above it."
        suggestion = format_suggestion(target, self.states)
        return f"{suggestion} Defined: {', '.join(sorted(self.states))}.".lstrip()

    def build_fault(self, name: str, message: str, *, line: int | None = None) -> Fault:
        """Return a fault of the named state, at its own line or at another line of its file."""
        state = self.states[name]
        return Fault(
            format_path(state.file) if state.file else self.file, state.line if line is None else line, message
        )


def _find_workflows(namespace: Mapping[str, Any], file: str | None) -> tuple[Workflow, ...]:
    found = {id(value): value for value in namespace.values() if isinstance(value, Workflow)}
    own = [value for value in found.values() if file is None or _is_same_file(value.file, file)]
    return tuple(sorted(own, key=lambda workflow: workflow.line))


def _find_migrations(namespace: Mapping[str, Any]) -> tuple[VarsMigration, ...]:
    found = {id(value): value for value in namespace.values() if isinstance(value, VarsMigration)}
    return tuple(sorted(found.values(), key=lambda migration: (migration.from_version, migration.line)))


def _make_sort_key(state: State[..., Any], file: str | None) -> tuple[bool, str, int]:
    return file is not None and not _is_same_file(state.file, file), state.file, state.line


def _is_same_file(one: str, other: str) -> bool:
    return Path(one).resolve() == Path(other).resolve()


def _has_import_name(module: ModuleType) -> bool:
    return module.__name__ != "__main__" and not module.__name__.startswith(f"{PATH_PREFIX}.")


def _find_module_spec(module: ModuleType, file: str | None) -> str:
    return str(Path(file).resolve()) if file and not _has_import_name(module) else module.__name__


def _derive_short_name(module: ModuleType, file: str | None) -> str:
    if _has_import_name(module) or not file:
        return module.__name__.rpartition(".")[2]
    path = Path(file).resolve()
    return path.parent.name if path.name == "__init__.py" else path.stem


def _to_camel_case(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[\W_]+", name)) or name
