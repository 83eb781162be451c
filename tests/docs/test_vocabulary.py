"""The page of the vocabulary is true: each name in it is the code's, and no name of the code is missing."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from pydantic import BaseModel

import flowlet
from flowlet import Action, ActionKind, Flowlet, Instance, Operations, Settings, client
from flowlet.cli.instances.operations import abort, acknowledge, answer, cancel, move, pause, resume, retry, set_, wake
from flowlet.cli.instances.reading import list_
from flowlet.cli.instances.starting import start
from flowlet.cli.output import serialize_action, serialize_instance
from flowlet.cli.serve import serve
from flowlet.client.filters import Filter
from flowlet.definition.definition import Definition
from flowlet.operations.views.address import LABELS
from flowlet.store.opening import open_store
from flowlet.store.search.query import SearchQuery
from flowlet.testing import Harness
from flowlet.web.api import workflows
from flowlet.web.api.limits.workflow_detail import WorkflowDetailResponse
from flowlet.web.api.requests import CreateWorkflowRequest, WorkflowFilter
from flowlet.web.api.responses import ActionResponse
from flowlet.web.api.waiting import WaitRequest
from flowlet.workflow.outcome import ChildRequest
from tests.docs.pages import ROOT
from tests.docs.signatures import format_type, list_methods, list_options, list_parameters, list_properties
from tests.docs.vocabulary import read_column, read_rows, read_table_cells

RAW_SUFFIXES = ("_us", "_json")
"""The endings of stored values, which a property returns as Python's own value."""

PAGING_FIELDS = {"order_by", "descending", "limit", "offset", "cursor", "scan_limit"}
"""The fields of a SearchQuery that choose a page and not instances."""

TARGET_OPTIONS = {"--database", "--url", "--api-key"}
"""The options that say what a command operates on."""

RECORDS: dict[str, type] = {"Instance": Instance, "Line of history": Action}
CLIENT_RECORDS: dict[str, type[BaseModel]] = {"Instance": client.Instance, "Line of history": client.Action}
RESPONSES: dict[str, type[BaseModel]] = {"Instance": WorkflowDetailResponse, "Line of history": ActionResponse}


@pytest.mark.parametrize("heading", RECORDS)
def test_the_fields_of_a_record_are_those_of_the_page(heading: str) -> None:
    record = RECORDS[heading]
    names = {field.name for field in dataclasses.fields(record)} | set(list_properties(record))

    documented = read_column(heading, f"flowlet.{record.__name__}")

    assert set(documented) == {name for name in names if not name.endswith(RAW_SUFFIXES)}


@pytest.mark.parametrize("heading", RECORDS)
def test_each_stored_value_has_a_property_of_the_same_name(heading: str) -> None:
    record = RECORDS[heading]
    raw = [field.name for field in dataclasses.fields(record) if field.name.endswith(RAW_SUFFIXES)]

    assert raw
    assert [name for name in raw if re.sub(r"_(us|json)$", "", name) not in list_properties(record)] == []


@pytest.mark.parametrize("heading", RECORDS)
def test_the_types_of_a_record_are_those_of_the_page(heading: str) -> None:
    record = RECORDS[heading]
    hints = get_type_hints(record) | {
        name: get_type_hints(getter)["return"] for name, getter in list_properties(record).items()
    }

    documented = {row[f"flowlet.{record.__name__}"][0]: row["Type"][0] for row in read_rows(heading) if row["Type"]}

    assert documented == {name: format_type(hints[name]) for name in documented}


@pytest.mark.parametrize("heading", RECORDS)
def test_the_fields_of_the_clients_record_are_those_of_the_page(heading: str) -> None:
    model = CLIENT_RECORDS[heading]

    documented = read_column(heading, "flowlet.client")

    assert set(documented) == set(model.model_fields) | set(list_properties(model))


@pytest.mark.parametrize("heading", RECORDS)
def test_the_fields_of_the_api_are_those_of_the_page_and_of_the_client(heading: str) -> None:
    documented = {row["REST"][0]: row["flowlet.client"] for row in read_rows(heading) if row["REST"]}

    assert set(documented) == set(RESPONSES[heading].model_json_schema(mode="serialization")["properties"])
    aliases = {field.alias: [name] for name, field in CLIENT_RECORDS[heading].model_fields.items()}
    assert documented == aliases


def test_an_event_names_what_it_has_as_the_two_records_do() -> None:
    names = {
        name: row["REST"]
        for heading in ("Line of history", "Instance")
        for row in read_rows(heading)
        for name in row["flowlet.client"]
    }
    names["attempt"] = ["attempt"]  # of an event it is the number of the line's own attempt

    fields = {name: [field.alias] for name, field in client.Event.model_fields.items()}

    assert fields == {name: names.get(name) for name in fields}


def test_the_clients_types_are_pythons() -> None:
    shared = set(client.Instance.model_fields) & set(read_column("Instance", "flowlet.Instance"))
    hints = get_type_hints(client.Instance)

    rows = [row for row in read_rows("Instance") if row["flowlet.client"] and row["Type"]]
    types = {row["flowlet.client"][0]: row["Type"][0] for row in rows}

    assert {name: format_type(hints[name]) for name in shared - {"answer"}} == {
        name: types[name] for name in shared - {"answer"}
    }
    assert set(client.Answer.model_fields) == {"choice", "form", "username"}


def test_the_json_of_the_command_line_is_that_of_the_page() -> None:
    assert set(read_column("Instance", "show --json")) == set(serialize_instance(build_instance()))
    assert set(read_column("Line of history", "show --json")) == set(serialize_action(Action(ActionKind.LOG, 0)))


async def test_the_columns_are_those_of_the_page(tmp_path: Path) -> None:
    async with open_store(f"sqlite:///{tmp_path / 'flowlet.db'}"):
        pass
    columns = read_database_columns(tmp_path / "flowlet.db")

    assert set(read_column("Instance", "Column")) in columns
    assert set(read_column("Line of history", "Column")) in columns


def test_the_arguments_of_a_create_are_those_of_the_page() -> None:
    doors = {
        "Flowlet.start": list_parameters(Flowlet.start),
        "Operations.create": list_parameters(Operations.create),
        "Harness.start": list_parameters(Harness.start) - {"settle"},
        "ChildRequest": {field.name for field in dataclasses.fields(ChildRequest)},
        "Client.create": list_parameters(client.Client.create),
        "REST": set(CreateWorkflowRequest.model_json_schema()["properties"]),
        "flowlet start": list_options(start) - {"--wait", "--timeout", "--module", "-m", "--json", *TARGET_OPTIONS},
    }

    assert {door: set(read_column("Creating an instance", door)) for door in doors} == doors


def test_the_console_labels_what_it_creates_as_the_page_says() -> None:
    texts = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "templates/start_form").glob("*.html"))

    labels = [cells[-1] for _, cells in read_table_cells("Creating an instance") if cells[-1] not in ("—", "Console")]

    assert labels
    assert [label for label in labels if f'"{label}"' not in texts] == []


def test_the_same_argument_of_a_create_has_the_same_type_everywhere() -> None:
    creates: list[Callable[..., Any]] = [Flowlet.start, Operations.create, Harness.start, Definition.build_instance]
    types: dict[str, set[str]] = {}
    for create in creates:
        for name, hint in get_type_hints(create).items():
            if name in {"key", "external_id", "group", "priority", "username"}:
                types.setdefault(name, set()).add(format_type(hint))

    assert types == {
        "key": {"str or None"},
        "external_id": {"str or None"},
        "group": {"str or None"},
        "priority": {"int or None"},
        "username": {"str or None"},
    }


def test_the_operations_are_those_of_the_page() -> None:
    rows = {row["Operations"][0]: row for row in read_rows("Operations on an instance")}
    others = {"__init__", "close", "create", "explain_refusal", "get_permitted_operations", "with_expected_version"}

    assert set(rows) == set(list_methods(Operations)) - others
    for name, row in rows.items():
        assert set(row["Arguments"]) == list_parameters(getattr(Operations, name)) - {
            *("id", "username", "is_admin", "expected_version")
        }
        method = getattr(client.Client, row["Client"][0])
        assert list_parameters(method) - {"id", "expected_version"} == set(row["Arguments"])
        assert ActionKind[row["Kind of line"][0]]
        assert f'.post("{row["REST"][0]}")' in inspect.getsource(workflows)
    assert set(read_column("Operations on an instance", "CLI")) == {
        *(command.name for command in (abort, acknowledge, answer, cancel, move, pause, resume, retry, set_, wake))
    }


def test_the_filters_of_a_search_are_those_of_the_page() -> None:
    doors = {
        "flowlet.client.Filter": set(get_type_hints(Filter)),
        "REST": set(WorkflowFilter.model_json_schema()["properties"]),
        "Store": {field.name for field in dataclasses.fields(SearchQuery)} - PAGING_FIELDS,
        "flowlet list": list_options(list_) - {"--limit", "--cursor", "--json", "--view", *TARGET_OPTIONS},
        "Console": LABELS.keys() - {"q"},
    }

    assert {door: set(read_column("Searching", door)) for door in doors} == doors


def test_what_is_waited_for_is_named_as_the_page_says() -> None:
    for row in read_rows("Waiting"):
        for method in (Flowlet.wait, Flowlet.start_and_wait, client.Client.create_and_wait):
            assert row[method.__qualname__.replace("Async", "")][0] in list_parameters(method)
        assert row["REST"][0] in WaitRequest.model_json_schema()["properties"]
        assert set(row["flowlet start"]) <= list_options(start)
    assert issubclass(client.WaitTimeoutError, flowlet.WaitTimeoutError)


def test_the_settings_of_a_process_have_the_options_of_the_page() -> None:
    for row in read_rows("Processes"):
        assert row["Setting"][0].removeprefix("FLOWLET_").lower() in Settings.model_fields
        assert row["flowlet serve"][0] in list_options(serve)


def read_database_columns(file: Path) -> list[set[str]]:
    """Return the columns of each table."""
    with sqlite3.connect(file) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = [{row[1] for row in connection.execute(f"PRAGMA table_info({table})")} for table in tables]
    connection.close()
    return columns


def build_instance() -> Instance:
    """Return an instance with a value of the right type in each field."""
    values = {"vars_json": "{}", "created_us": to_us(), "modified_us": to_us(), "status": flowlet.Status.NEW}
    optional = dict.fromkeys((field.name for field in dataclasses.fields(Instance)), None)
    return Instance(**{**optional, **values})  # type: ignore[arg-type] # only the names of the fields matter


def to_us() -> int:
    return int(datetime(2030, 1, 1, tzinfo=UTC).timestamp() * 1_000_000)
