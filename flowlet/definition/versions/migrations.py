"""Variables of an earlier version become those that a definition reads."""

from __future__ import annotations

from typing import Any

from flowlet.definition.definition import Definition
from flowlet.errors import FlowletError
from flowlet.instance.json_text import find_json_faults, parse_json, write_json

__all__ = ["VersionError", "describe_higher_version", "migrate_if_possible", "migrate_vars"]


class VersionError(FlowletError):
    """This version of a workflow cannot read the variables that another one has written."""


def migrate_vars(definition: Definition, vars_json: str, vars_version: int) -> str:
    """Return the JSON text of an instance's variables, as this version of the workflow reads them.

    Args:
        definition: The definition that is to read them.
        vars_json: The stored text.
        vars_version: Its version.

    Raises:
        VersionError: If they are of a higher version, or a migration raises or returns what cannot be stored.
    """
    if vars_version == definition.vars_version:
        return vars_json
    if vars_version > definition.vars_version:
        raise VersionError(describe_higher_version(definition, vars_version))
    subject = f"{definition.name} version {definition.version}"
    variables: Any = parse_json(vars_json)
    for migration in definition.migrations:
        if migration.from_version < vars_version:
            continue
        step = f"the migration {migration.name!r} of {subject}"
        try:
            variables = migration(variables)
        except Exception as error:
            raise VersionError(f"{step} raised {type(error).__name__}: {error}") from error
        if not isinstance(variables, dict):
            raise VersionError(f"{step} returned a value of type {type(variables).__name__}, not a dict")
        if faults := find_json_faults(variables):
            name, fault = next(iter(faults.items()))
            raise VersionError(f"{step} returned a value that cannot be stored: {name} {fault}")
    return write_json(variables)


def migrate_if_possible(definition: Definition, vars_json: str, vars_version: int) -> str:
    """Return what ``migrate_vars`` does, for a text that is only shown: the stored one where it cannot be migrated.

    Args:
        definition: As there.
        vars_json: As there.
        vars_version: As there.
    """
    try:
        return migrate_vars(definition, vars_json, vars_version)
    except (VersionError, ValueError):  # the second where another program has written what is no JSON
        return vars_json


def describe_higher_version(definition: Definition, vars_version: int) -> str:
    """Return why a definition cannot read variables of a higher version than its own."""
    return (
        f"its variables were migrated to version {vars_version}, which {definition.name} version {definition.version} "
        "does not know"
    )
