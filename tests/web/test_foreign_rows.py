"""Rows that no writer makes, but a person at the database may: one of them never takes a page down."""

from __future__ import annotations

import asyncio

import pytest
from click.testing import CliRunner

from flowlet.cli import main
from flowlet.errors import VariablesError
from flowlet.text import MAX_INTEGER
from tests.web.test_hostile_rows import OddRows, check_responses, open_odd_rows

TIMES = ("created", "modified", "started", "ended", "next_activation", "failed")
TABS = ("history", "variables")
READERS = [
    *("/", "/workflows", "/workflows?sort=next", "/workflows?sort=created", "/workflows.csv", "/workflows.json"),
    *("/inbox", "/errors", "/executors", "/definitions", "/definitions/Oddities", "/metrics"),
]
ROWS = {
    "the latest times": ", ".join(f"{name} = {MAX_INTEGER}" for name in TIMES),
    "the earliest times": ", ".join(f"{name} = {-MAX_INTEGER - 1}" for name in TIMES),
    "names with line ends": "external_id = :odd, business_key = :odd, executor_group = :odd, state = :odd",
    "an unknown state and reason": "state = :odd, reason = :odd, created_by = :odd",
    "deep variables": "vars = :deep",
    "variables that are no object": "vars = '[1]'",
    "variables that are no JSON": "vars = 'x'",
    "an answer that is no object": "answer = '7'",
    "long variables": "vars = :long",
}
VALUES = {
    "odd": "a\r\nb\x1b[31m\u2028",
    "deep": '{"a":' * 900 + "1" + "}" * 900,
    "long": '{"text": "' + "x" * 1_000_000 + '"}',
}


async def make_foreign(rows: OddRows, change: str) -> list[int]:
    """Create two instances and change the first one's row, and its history's times, by SQL."""
    ids = [await rows.create("wait"), await rows.create("wait")]
    values = {name: value for name, value in VALUES.items() if f":{name}" in change}
    await rows.engine.execute_sql(f"UPDATE flowlet_workflow SET {change} WHERE id = :id", {**values, "id": ids[0]})
    if "vars = 'x'" in change:
        await rows.engine.execute_sql(
            f"UPDATE flowlet_action SET changes = 'x', vars = '[' WHERE workflow_id = {ids[0]}"
        )
    if "created =" in change:
        at = change.split("created = ")[1].split(",", maxsplit=1)[0]
        await rows.engine.execute_sql(f"UPDATE flowlet_action SET at = {at} WHERE workflow_id = {ids[0]}")
    return ids


@pytest.mark.parametrize("change", ROWS.values(), ids=ROWS)
async def test_a_row_that_was_changed_from_outside_takes_no_page_down(database_url: str, change: str) -> None:
    async with open_odd_rows(database_url) as rows:
        ids = await make_foreign(rows, change)
        browser, client = rows.app_harness.open_admin_browser(), rows.app_harness.open_client("viewer")

        await check_responses(browser, READERS)
        for id in ids:
            await check_responses(browser, [f"/workflows/{id}", *(f"/workflows/{id}?tab={t}" for t in TABS)])
            await check_responses(client, [f"/api/workflows/{id}", f"/api/actions/byWorkflowId/{id}"])
        found = await client.post("/api/workflows/search", json={})

    assert [one["id"] for one in found.json()["workflows"]] == ids[::-1]


def test_the_command_line_shows_a_row_that_was_changed_from_outside(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    async def prepare() -> dict[str, list[int]]:
        async with open_odd_rows(sqlite_url) as rows:
            return {name: await make_foreign(rows, change) for name, change in ROWS.items()}

    made = asyncio.run(prepare())
    monkeypatch.setenv("FLOWLET_DATABASE_URL", sqlite_url)

    commands = {"list": [["list"], ["list", "--json"]]}
    for name, ids in made.items():
        commands[name] = [["show", str(id), *more] for id in ids for more in ([], ["--json"])]
    for name, calls in commands.items():
        with subtests.test(name):
            for arguments in calls:
                result = CliRunner().invoke(main, arguments)
                assert result.exit_code == 0, (arguments, result.output[-500:])
                assert "\x1b[31m" not in result.output


async def test_variables_that_cannot_be_read_are_not_overwritten_by_an_edit(
    database_url: str, subtests: pytest.Subtests
) -> None:
    async with open_odd_rows(database_url) as rows:
        for change in ("vars = :deep", "vars = '[1]'", "vars = 'x'"):
            with subtests.test(change):
                id, _ = await make_foreign(rows, change)
                stored = (await rows.engine.get_instance(id)).vars_json

                with pytest.raises(VariablesError, match="the variables of Oddities"):
                    await rows.app_harness.services.operations.edit_variables(id, {"number": 1}, username="ada")

                assert (await rows.engine.get_instance(id)).vars_json == stored
