"""The reference pages name everything that the code has, and nothing else."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable
from datetime import timedelta
from types import FunctionType
from typing import Any

import click
import pytest

from flowlet import errors
from flowlet.app import Flowlet
from flowlet.cli.root import main
from flowlet.clock import format_duration, parse_duration
from flowlet.errors import SettingsError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.operations.service import Operations
from flowlet.settings import Settings
from flowlet.store.tables import SCHEMA_VERSION, TABLES
from flowlet.workflow.context import Context
from flowlet.workflow.outcome import Destination
from flowlet.workflow.retry import Retry
from flowlet.workflow.schedule import Schedule
from flowlet.workflow.states import manual, state
from flowlet.workflow.workflow import Workflow
from tests.docs.pages import ROOT, read_table_rows

STATES_PAGE = "docs/reference/states.md"
TABLES_PAGE = "docs/reference/tables.md"
SETTING_ROWS = {names[0]: cells for names, cells in read_table_rows("docs/reference/settings.md", "Settings")}
SETTING_BOUNDS = {
    name.removeprefix("FLOWLET_").lower(): cells[2].split(" to ")
    for name, cells in SETTING_ROWS.items()
    if " to " in cells[2]
}
SETTINGS_DEFAULTING_IN_WORDS = {
    *("admin_password", "executor_name", "hosts", "key", "memory", "modules", "schema", "url"),
}
"""Settings whose default is described in words: a random one, none, and those that differ by process or machine."""

SETTINGS_BOUNDED_BY_COUNT = {"admin_password", "groups", "executor_name", "schema"}
"""Settings whose bounds are numbers of names, letters or bytes."""

SIGNATURES: dict[str, Callable[..., Any]] = {
    "`Workflow`": Workflow,
    "`@state`": state,
    "`@manual`": manual,
    "`Retry`": Retry,
    "`Schedule`": Schedule,
}


def test_every_setting_is_documented() -> None:
    assert set(SETTING_ROWS) == {f"FLOWLET_{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_settings_help_is_the_documented_one(name: str) -> None:
    documented = SETTING_ROWS[f"FLOWLET_{name.upper()}"][3].replace("`", "")

    assert Settings.model_fields[name].description == f"{documented[0].upper()}{documented[1:]}."


@pytest.mark.parametrize("name", sorted(set(Settings.model_fields) - SETTINGS_DEFAULTING_IN_WORDS))
def test_a_settings_default_is_the_documented_one(name: str) -> None:
    default = getattr(Settings.model_construct(), name)

    documented = SETTING_ROWS[f"FLOWLET_{name.upper()}"][1].strip("`")

    if isinstance(default, timedelta):
        assert parse_duration(documented) == default
    elif isinstance(default, bool):
        assert documented == str(default).lower()
    else:
        assert documented == (", ".join(default) if isinstance(default, tuple) else str(default))


@pytest.mark.parametrize("name", sorted(set(SETTING_BOUNDS) - SETTINGS_BOUNDED_BY_COUNT))
def test_a_settings_bounds_are_the_documented_ones(name: str) -> None:
    low, high = SETTING_BOUNDS[name]
    within, beyond = [low, high], _values_out_of_bounds(low, high)

    assert [str(value) for value in within if not _is_usable(name, value)] == []
    assert [str(value) for value in beyond if _is_usable(name, value)] == []


def test_a_settings_numbers_of_names_and_letters_are_the_documented_ones() -> None:
    (_, groups), (_, letters) = SETTING_BOUNDS["groups"], SETTING_BOUNDS["executor_name"]
    most_groups, most_letters = int(groups.split()[0]), int(letters.split()[0])

    assert _is_usable("groups", " ".join(map(str, range(most_groups))))
    assert not _is_usable("groups", " ".join(map(str, range(most_groups + 1))))
    assert _is_usable("executor_name", "a" * most_letters)
    assert not _is_usable("executor_name", "a" * (most_letters + 1))


def test_the_letters_of_the_admins_password_are_the_documented_ones() -> None:
    fewest, most = (int(bound.split()[0]) for bound in SETTING_BOUNDS["admin_password"])

    assert [_is_usable("admin_password", "a" * length) for length in (fewest, most)] == [True, True]
    assert [_is_usable("admin_password", "a" * length) for length in (fewest - 1, most + 1)] == [False, False]


def test_every_command_and_its_options_are_documented() -> None:
    page = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    headings = {
        _parse_command_name(heading): heading for heading in re.findall(r"^## (`flowlet .+`)$", page, re.MULTILINE)
    }

    assert set(headings) == set(_list_commands())
    for name, command in _list_commands().items():
        documented = {
            option for names, _ in read_table_rows("docs/reference/cli.md", headings[name]) for option in names
        }
        assert documented == _list_options(command), name


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert not [name for name in _list_commands() if f"`flowlet {name}" not in readme]


def test_every_table_and_column_is_documented() -> None:
    tables = _list_table_columns()

    assert {
        table: {name for names, _ in read_table_rows(TABLES_PAGE, f"`{table}`") for name in names} for table in tables
    } == tables


def test_every_status_and_kind_is_documented() -> None:
    assert [names[0] for names, _ in read_table_rows(TABLES_PAGE, "Statuses")] == [status.value for status in Status]
    assert [names[0] for names, _ in read_table_rows(TABLES_PAGE, "Kinds")] == [kind.value for kind in ActionKind]


@pytest.mark.parametrize("heading", SIGNATURES)
def test_every_argument_is_documented(heading: str) -> None:
    arguments = list(inspect.signature(SIGNATURES[heading]).parameters)

    assert sorted(names[0] for names, _ in read_table_rows(STATES_PAGE, heading)) == sorted(arguments)


def test_everything_a_context_has_is_documented() -> None:
    fields = {field.name for field in dataclasses.fields(Context) if not field.name.startswith("_")}
    methods = {
        name
        for name, value in vars(Context).items()
        if isinstance(value, FunctionType | property) and not name.startswith("_")
    }

    assert {names[0].split("(")[0] for names, _ in read_table_rows(STATES_PAGE, "`Context`")} == fields | methods


def test_everything_that_can_be_said_of_a_next_state_is_documented() -> None:
    documented = {
        names[0].split("(")[0].removeprefix("ship.")
        for names, _ in read_table_rows(STATES_PAGE, "What a handler returns")
    }

    assert documented == {name for name in vars(Destination) if not name.startswith("_")}


def test_everything_an_application_has_is_documented() -> None:
    arguments = set(inspect.signature(Flowlet).parameters)
    methods = {name for name, value in vars(Flowlet).items() if callable(value) and not name.startswith("_")}

    documented = {names[0].split("(")[0] for names, _ in read_table_rows(STATES_PAGE, "`Flowlet`")}

    assert documented == arguments | methods


@pytest.mark.parametrize(
    ("page", "heading", "kind"),
    [(STATES_PAGE, "`Flowlet`", Flowlet), ("docs/how-to/operate.md", "More, from Python", Operations)],
    ids=["Flowlet", "Operations"],
)
def test_documented_methods_have_the_documented_arguments(page: str, heading: str, kind: type) -> None:
    calls = [name for names, _ in read_table_rows(page, heading) for name in names if name.endswith(")")]

    wrong = [call for call in calls if not _list_arguments(call) <= _list_parameters(kind, call)]

    assert calls
    assert not wrong


def test_every_error_is_documented() -> None:
    documented = {names[0] for names, _ in read_table_rows("docs/reference/errors.md", "Errors")}

    assert documented == set(errors.__all__) - {"Fault"}


def _list_arguments(call: str) -> set[str]:
    """Return the names of the arguments in a documented call such as "move(id, state, when=...)"."""
    parts = (part.partition("=")[0].strip() for part in call.partition("(")[2].rstrip(")").split(","))
    return {part for part in parts if part.isidentifier()}


def _list_parameters(kind: type, call: str) -> set[str]:
    return set(inspect.signature(getattr(kind, call.partition("(")[0])).parameters)


def _values_out_of_bounds(low: str, high: str) -> list[str]:
    """Return what is just outside of the bounds; below zero there is no length of time."""
    if low.isdigit():
        return [str(int(low) - 1), str(int(high) + 1)]
    step = timedelta(milliseconds=1)
    lengths = [parse_duration(low) - step, parse_duration(high) + step]
    return [format_duration(length) for length in lengths if length >= timedelta(0)]


def _is_usable(name: str, value: str) -> bool:
    try:
        Settings(**{name: value})
    except SettingsError:
        return False
    return True


def _list_commands() -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        if isinstance(command, click.Group):
            found |= {f"{name} {inner}": member for inner, member in command.commands.items()}
        elif command is not None:
            found[name] = command
    return found


def _list_options(command: click.Command) -> set[str]:
    options = (one for one in command.params if isinstance(one, click.Option) and not one.hidden)
    return {name for option in options for name in option.opts}


def _parse_command_name(heading: str) -> str:
    """Return the command's name in a heading as "`flowlet db upgrade`": the words in small letters."""
    return " ".join(word for word in heading.strip("`").split()[1:] if word.islower())


def _list_table_columns() -> dict[str, set[str]]:
    return {table.name: {column.name for column in table.columns} for table in (*TABLES, SCHEMA_VERSION)}
