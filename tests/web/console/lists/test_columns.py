"""The columns of the workflow list: chosen in a form, kept by the browser, part of the address and of a file."""

from __future__ import annotations

import csv
import io
import re

import pytest

from flowlet.operations.views.columns import (
    COLUMNS,
    DEFAULT_COLUMNS,
    build_columns,
    decode_columns,
    encode_columns,
    find_variable,
    format_variable,
    name_variable_columns,
)
from tests.web.console.console_harness import read_csrf_token
from tests.web.console.workflow_console import WorkflowConsole

_HEADER = re.compile(r'<th scope="col"[^>]*>(?:<a[^>]*>)?([^<]*)')


def read_headers(text: str) -> list[str]:
    """Return the headers of the list's table, without those of the checkboxes."""
    return [header for header in _HEADER.findall(text.replace("<wbr>", "")) if header]


async def test_a_list_has_the_columns_of_its_address(workflow_console: WorkflowConsole) -> None:
    one = await workflow_console.create_instance(priority=7)

    page = await workflow_console.viewer.get("/workflows?column=priority&column=vars.WAY&column=ended&column=vars.none")

    assert read_headers(page.text) == ["Workflow", "Ended", "Priority", "WAY", "none"]
    cells = re.findall(r'<td class="(?:when|other)" data-label="([^"]*)">([^<]*)', page.text)
    assert cells == [("Ended", ""), ("Priority", "7"), ("WAY", "charge"), ("none", "")]
    assert f'href="/workflows/{one}"' in page.text
    assert "column=ended&amp;" not in page.text.partition("workflows.csv")[2].partition("vars.WAY")[0]
    assert (
        'href="/workflows.csv?column=priority&amp;column=vars.WAY&amp;column=ended&amp;column=vars.none"' in page.text
    )


async def test_a_file_has_the_columns_of_the_list(workflow_console: WorkflowConsole) -> None:
    await workflow_console.create_instance("=1+1" + "x" * 400, key="A", external_id="B")

    answer = await workflow_console.viewer.get(
        "/workflows.csv?column=status&column=vars.way&column=next&column=vars.n.o"
    )

    head, line = csv.reader(io.StringIO(answer.text, newline=""), strict=True)
    keys = ["id", "externalId", "businessKey"]
    assert head == [*keys, "status", "nextActivation", "retryCount", "reason", "vars.way", "vars.n.o"]
    assert line[:4] == ["1", "B", "A", "NEW"]
    assert line[7:] == ["'=1+1" + "x" * 400, ""]


async def test_chosen_columns_are_kept_by_the_browser_until_they_are_given_back(
    sqlite_workflow_console: WorkflowConsole,
) -> None:
    await sqlite_workflow_console.create_instance()
    viewer = sqlite_workflow_console.viewer
    token = read_csrf_token(await viewer.get("/workflows"))

    async def choose(**fields: str | list[str]) -> str:
        sent = {"token": token, "filters": "status=NEW&column=type", **fields}
        return (await viewer.post("/workflows/columns", data=sent, follow_redirects=False)).headers["location"]

    there = await choose(column=["state", "created"], variables=" way , a.b,")
    kept = await viewer.get("/workflows")
    of_a_link = await viewer.get("/workflows?column=type")
    fault = await choose(variables=",".join(f"v{n}" for n in range(11)))
    refused = await viewer.get(fault)
    back = await choose(reset="true", column="state")
    given_back = await viewer.get("/workflows")

    assert there == "/workflows?status=NEW&column=state&column=created&column=vars.way&column=vars.a.b"
    assert read_headers(kept.text) == ["Workflow", "State", "Created", "way", "a.b"]
    assert read_headers(of_a_link.text) == ["Workflow", "Type"]
    assert fault == back == "/workflows?status=NEW"
    assert "Choose at most 10 columns; these are 11." in refused.text
    assert read_headers(given_back.text) == ["Workflow", *(column.label for column in DEFAULT_COLUMNS)]


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        ("column=colour", "There is no column &#39;colour&#39;"),
        ("column=vars.", "There is no column"),
        ("column=vars." + "a" * 101, "The name of a variable has 101 characters"),
        ("column=vars.a%00b", "NUL character"),
        ("&".join(f"column=vars.{n}" for n in range(11)), "Choose at most 10 columns"),
    ],
)
async def test_an_unknown_column_is_a_fault(sqlite_workflow_console: WorkflowConsole, names: str, fault: str) -> None:
    page = await sqlite_workflow_console.viewer.get(f"/workflows?{names}")

    assert page.status_code == 400
    assert fault in page.text


def test_columns_survive_a_cookie() -> None:
    columns = build_columns(["vars.a,b.0", "vars.ä", "created", "type"])

    assert decode_columns(encode_columns(columns)) == columns
    assert [column.name for column in columns] == ["type", "created", "vars.a,b.0", "vars.ä"]
    for text in ("", "colour", "%ff", ".".join(["type"] * 3 + ["."]), ".".join(f"vars%2E{n}" for n in range(11))):
        assert decode_columns(text) == ()
    assert encode_columns(build_columns("vars." + "𝄞" * 90 + str(n) for n in range(10))) == ""
    assert set(encode_columns(tuple(COLUMNS.values()))) <= set("abcdefghijklmnopqrstuvwxyz_.")


def test_a_variable_is_found_by_its_path_in_any_case() -> None:
    values = {"a.b": 1, "a": {"b": 2, "C": [{"d": 3}]}, "Name": "x", "name": "y"}
    found = {path: find_variable(values, path) for path in ("a.b", "A.c.0.D", "name", "NAME", "a.c.1", "a.b.c", "z")}

    assert found == {"a.b": 1, "A.c.0.D": 3, "name": "y", "NAME": "x", "a.c.1": None, "a.b.c": None, "z": None}
    assert [format_variable(value) for value in (None, "t", True, 1.5, {"a": [1]}, "x" * 300)] == [
        "",
        "t",
        "true",
        "1.5",
        '{"a":[1]}',
        "x" * 199 + "…",
    ]
    assert name_variable_columns(" a, b.c ,,") == ["vars.a", "vars.b.c"]
