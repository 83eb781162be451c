"""The faults of what a module says about its earlier versions: former names of states, migrations of variables."""

from __future__ import annotations

from collections.abc import Iterator

from flowlet.definition.loader import format_path
from flowlet.definition.module_source import ModuleSource
from flowlet.errors import Fault
from flowlet.text import MAX_NAME_LENGTH
from flowlet.workflow.migration import VarsMigration

__all__ = ["find_version_faults"]


def find_version_faults(source: ModuleSource) -> Iterator[Fault]:
    """Yield the faults of ``renamed_from`` and of migrations."""
    yield from _check_former_names(source)
    yield from _check_migrations(source)


def _check_former_names(source: ModuleSource) -> Iterator[Fault]:
    owners: dict[str, str] = {}
    for name, state in source.states.items():
        for former in state.renamed_from:
            if message := _find_name_fault(former, name, source, owners):
                yield source.build_fault(name, message)
            else:
                owners[former] = name


def _find_name_fault(former: object, name: str, source: ModuleSource, owners: dict[str, str]) -> str | None:
    if not isinstance(former, str):
        given = type(former).__name__
        return f"state {name!r} has an object of type {given} in renamed_from.\nGive the former name as a text."
    if not 0 < len(former) <= MAX_NAME_LENGTH:
        cure = f"A state's name has 1 to {MAX_NAME_LENGTH} characters."
        return f"state {name!r} has a name of {len(former)} characters in renamed_from.\n{cure}"
    if former == name:
        return f"state {name!r} has its own name in renamed_from.\nRemove it: renamed_from lists former names."
    if former in source.states:
        line = source.states[former].line
        cure = "Instances in it are in that state: remove it from renamed_from, or rename that state."
        return f"state {name!r} has renamed_from={former!r}, but a state at line {line} has this name.\n{cure}"
    if former in owners:
        other = "twice" if owners[former] == name else f", and so has state {owners[former]!r}"
        cure = "Instances in it can be in one state only: remove one of them."
        return f"state {name!r} has renamed_from={former!r}{' ' if other == 'twice' else ''}{other}.\n{cure}"
    return None


def _check_migrations(source: ModuleSource) -> Iterator[Fault]:
    version = source.workflow.version if source.workflow else 1
    known: dict[object, VarsMigration] = {}
    for migration in source.migrations:
        file, given = format_path(migration.file), migration.from_version
        if type(given) is not int or given < 1:
            message = f"the migration {migration.name!r} has from_version={given!r}."
            yield Fault(file, migration.line, f"{message}\nGive a version of the workflow: 1 or a higher one.")
        elif given >= version:
            message = (
                f"the migration {migration.name!r} is from version {given}, and the workflow has version {version}."
            )
            cure = f"Raise the version: workflow = Workflow({source.name!r}, version={given + 1})."
            yield Fault(file, migration.line, f"{message}\n{cure}")
        elif given in known:
            message = f"the migration {migration.name!r} is from version {given}, as {known[given].name!r} is at line"
            yield Fault(file, migration.line, f"{message} {known[given].line}.\nMake one of the two.")
        else:
            known[given] = migration
