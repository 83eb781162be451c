"""``flowlet start``, ``list``, ``show``, ``retry`` and ``cancel``, on a database where no executor runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowlet.testing import Harness
from tests.cli.conftest import RunCommand
from tests.engine.versions.renamed_orders import build_modules

ShowInstance = Callable[[str], dict[str, Any]]


def start_order(flowlet: RunCommand, *options: str) -> str:
    result = flowlet("start", "OrderWorkflow", "-m", "orders.py", *options)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def test_starting_prints_the_id_and_nothing_else(run_flowlet: RunCommand) -> None:
    result = run_flowlet("start", "OrderWorkflow", "-m", "orders.py")

    assert (result.exit_code, result.stdout, result.stderr) == (0, "1\n", "")


def test_what_was_started_is_shown_with_its_values_and_who_started_it(
    run_flowlet: RunCommand, show_instance: ShowInstance
) -> None:
    options = ("--key", "K1", "--external-id", "X1", "--vars", '{"amount": 3}', "--group", "mail", "--priority", "7")
    id = start_order(run_flowlet, *options)

    found = show_instance(id)

    assert (found["type"], found["status"], found["state"]) == ("OrderWorkflow", "NEW", "check")
    assert (found["key"], found["externalId"], found["group"], found["priority"]) == (
        "K1",
        "X1",
        "mail",
        7,
    )
    assert found["vars"] == {"amount": 3, "note": ""}
    assert [action["kind"] for action in found["history"]] == ["CREATED"]
    assert found["createdBy"]
    assert found["created"].endswith("Z")


@pytest.mark.parametrize("name", ["review", "decide"])
def test_the_list_by_state_takes_either_name_of_a_renamed_one(
    run_flowlet: RunCommand, database_url: str, name: str
) -> None:
    async def deploy_both_versions() -> None:
        for version in (1, 2):
            async with Harness(build_modules(version), database_url=database_url) as flow:
                await flow.start("Orders", {"way": "person"})

    asyncio.run(deploy_both_versions())

    found = json.loads(run_flowlet("list", "--state", name, "--json", "--database", database_url).stdout)

    assert [one["state"] for one in found] == ["decide", "review"]


def test_starting_twice_with_one_external_id_prints_the_same_id(run_flowlet: RunCommand) -> None:
    first = start_order(run_flowlet, "--external-id", "X1")
    second = start_order(run_flowlet, "--external-id", "X1")

    assert first == second
    assert len(json.loads(run_flowlet("list", "--json").stdout)) == 1


def test_the_commands_work_on_every_database(run_flowlet: RunCommand, empty_database_url: str) -> None:
    id = run_flowlet(
        "--database", empty_database_url, "start", "OrderWorkflow", "-m", "orders.py", "--key", "K1"
    ).stdout.strip()

    listed = run_flowlet("list", "--key", "K1", "--database", empty_database_url)
    found = run_flowlet("show", id, "--database", empty_database_url)

    assert (listed.exit_code, found.exit_code) == (0, 0)
    assert "OrderWorkflow" in listed.stdout
    assert "CREATED" in found.stdout


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (("start", "OrderWorkflow"), 2, "FLOWLET_MODULES"),
        (("start", "OrderWorkflow", "-m", "nosuch"), 2, "nosuch"),
        (("start", "OrderWorkflow", "-m", "faulty.py"), 1, "faulty.py:"),
        (("start", "OrderWorkflw", "-m", "orders.py"), 1, "Did you mean 'OrderWorkflow'?"),
        (("start", "OrderWorkflow", "-m", "orders.py", "--vars", "{amount: 3}"), 2, "not JSON"),
        (("start", "OrderWorkflow", "-m", "orders.py", "--vars", "[3]"), 2, "expected a JSON object"),
        (("start", "OrderWorkflow", "-m", "orders.py", "--vars", '{"amount": "many"}'), 1, "amount: "),
        (("start", "OrderWorkflow", "-m", "orders.py", "--vars", '{"amount": 1, "amount": 2}'), 2, "is given twice"),
        (("start", "OrderWorkflow", "-m", "orders.py", "--vars", '{"note": "a\\u0000"}'), 2, "a NUL character"),
        (("start", "OrderWorkflow", "-m", "orders.py", "--vars", '{"amount": NaN}'), 2, "NaN is not JSON"),
        (("start", "OrderWorkflow", "-m", "orders.py", "--vars", '{"amount": true}'), 1, "amount: "),
        (("start", "OrderWorkflow", "-m", "orders.py", "--vars", '{"amuont": 1}'), 1, "Did you mean 'amount'?"),
        (("start", "OrderWorkflow", "-m", "orders.py", "--external-id", ""), 1, "externalId"),
        (("start", "OrderWorkflow", "-m", "orders.py", "--external-id", "x" * 256), 1, "externalId"),
        (("start", "OrderWorkflow", "-m", "orders.py", "--key", "\udcff"), 2, "not text in UTF-8"),
        (("start", "OrderWorkflow", "-m", "orders.py", "--priority", "10"), 2, "0<=x<=9"),
        (("start", "OrderWorkflow", "-m", "orders.py", "--wait", "--timeout", "soon"), 2, "not a duration"),
        (("start", "OrderWorkflow", "-m", "orders.py", "--timeout", "5s"), 2, "--wait"),
        (("start", "OrderWorkflow", "-m", "orders.py", "--colour", "red"), 2, "--colour"),
        (("start", "OrderWorkflow", "-m", "orders.py", "--database", "sqlite://x.db"), 2, "--database is"),
        (("--database", "oracle://ada:s3cret@h/x", "start", "OrderWorkflow", "-m", "orders.py"), 2, "ada:***@h"),
    ],
)
def test_what_cannot_be_started_gets_one_message_and_no_database(
    run_flowlet: RunCommand, working_folder: Path, arguments: tuple[str, ...], exit_code: int, said: str
) -> None:
    result = run_flowlet(*arguments)

    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert said in result.stderr
    assert result.stderr.count("Error: ") == 1
    assert not list(working_folder.glob("*.db*"))


def test_an_integer_beyond_64_bits_is_stored_exactly(run_flowlet: RunCommand) -> None:
    started = run_flowlet("start", "OrderWorkflow", "-m", "orders.py", "--vars", '{"amount": 18446744073709551617}')

    assert '"amount": 18446744073709551617' in run_flowlet("show", started.stdout.strip(), "--json").stdout


def test_a_decimal_keeps_all_digits_of_a_number(run_flowlet: RunCommand, working_folder: Path) -> None:
    bills = (working_folder / "orders.py").read_text().replace("amount: int = 1", "amount: Decimal = Decimal(1)")
    (working_folder / "bills.py").write_text(
        bills.replace("from pydantic", "from decimal import Decimal\nfrom pydantic")
    )
    number = "12345678901234567890.12345678901234567890"

    started = run_flowlet("start", "OrderWorkflow", "-m", "bills.py", "--vars", f'{{"amount": {number}}}')

    assert f'"amount": "{number}"' in run_flowlet("show", started.stdout.strip(), "--json").stdout


def test_no_value_of_a_variable_is_in_the_message_that_refuses_it(run_flowlet: RunCommand) -> None:
    result = run_flowlet("start", "OrderWorkflow", "-m", "orders.py", "--vars", '{"amount": "s3cret"}')

    assert "amount" in result.stderr
    assert "s3cret" not in result.stderr


def test_a_setting_that_cannot_be_used_is_named(run_flowlet: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWLET_SLOTS", "many")

    result = run_flowlet("list")

    assert result.exit_code == 2
    assert "FLOWLET_SLOTS is 'many'" in result.stderr


def test_a_server_that_is_not_there_is_one_message_without_the_password(run_flowlet: RunCommand) -> None:
    result = run_flowlet("list", "--database", "postgresql://ada:s3cret@127.0.0.1:1/shop")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert "s3cret" not in result.stderr


@pytest.mark.parametrize("arguments", [("list",), ("show", "1"), ("retry", "1"), ("cancel", "1"), ("doctor",)])
def test_looking_for_a_database_that_is_not_there_does_not_make_one(
    run_flowlet: RunCommand, working_folder: Path, arguments: tuple[str, ...]
) -> None:
    result = run_flowlet(*arguments, "--database", "sqlite:///nosuch.db")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "'nosuch.db'" in result.stderr
    assert not list(working_folder.glob("*.db*"))


@pytest.mark.parametrize("name", ["2", "X2", "0", "9" * 30])
@pytest.mark.parametrize("command", ["show", "retry", "cancel"])
def test_an_unknown_id_is_named(run_flowlet: RunCommand, command: str, name: str) -> None:
    start_order(run_flowlet)

    result = run_flowlet(command, name)

    assert (result.exit_code, result.stdout) == (1, "")
    assert name in result.stderr


def test_an_instance_is_found_by_its_external_id(run_flowlet: RunCommand, show_instance: ShowInstance) -> None:
    id = start_order(run_flowlet, "--external-id", "X1")

    assert show_instance("X1")["id"] == int(id)


def test_a_list_holds_what_fits_every_filter_newest_first(run_flowlet: RunCommand) -> None:
    start_order(run_flowlet, "--key", "A")
    start_order(run_flowlet, "--key", "B")
    start_order(run_flowlet, "--key", "A")

    def list_ids(*filters: str) -> list[int]:
        return [one["id"] for one in json.loads(run_flowlet("list", "--json", *filters).stdout)]

    assert list_ids() == [3, 2, 1]
    assert list_ids("--limit", "2") == [3, 2]
    assert list_ids("--key", "A", "--type", "OrderWorkflow", "--state", "check", "--status", "new") == [3, 1]
    assert list_ids("--state", "nosuch") == []


def test_a_list_holds_what_has_a_variable_and_was_created_since(run_flowlet: RunCommand) -> None:
    start_order(run_flowlet, "--vars", '{"amount": 3}')
    start_order(run_flowlet, "--vars", '{"amount": 3, "note": "glass"}')
    start_order(run_flowlet, "--vars", '{"amount": 4}')

    def list_ids(*filters: str) -> list[int]:
        return [one["id"] for one in json.loads(run_flowlet("list", "--json", *filters).stdout)]

    assert list_ids("--variable", "amount=3") == [2, 1]
    assert list_ids("--variable", "amount=3", "--variable", "note=glass") == [2]
    assert list_ids("--variable", "note~LAS") == [2]
    assert list_ids("--created-from", "2020-01-01", "--variable", "amount=4") == [3]
    assert list_ids("--created-from", "2999-12-31T08:30+01:00") == []


def test_a_list_goes_on_at_the_cursor_that_it_printed(run_flowlet: RunCommand) -> None:
    for _ in range(3):
        start_order(run_flowlet)

    first = run_flowlet("list", "--json", "--limit", "2")
    cursor = first.stderr.split("--cursor ")[1].strip()
    second = run_flowlet("list", "--json", "--limit", "2", "--cursor", cursor)

    assert first.stderr.startswith("3 match.")
    assert [one["id"] for one in json.loads(first.stdout)] == [3, 2]
    assert [one["id"] for one in json.loads(second.stdout)] == [1]
    assert second.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--variable", "amount"), "Write NAME=VALUE"),
        (("--variable", 'a"b=3'), "--variable has a quote"),
        (("--created-from", "yesterday"), "'yesterday' is not a time"),
        (("--cursor", "nosuch"), "--cursor is not a cursor that a search gave"),
        (("--key", "x" * 256), "--key has to be a text of 1 to 255 characters"),
        (("--type", ""), "--type has to be a text"),
    ],
)
def test_what_cannot_be_looked_for_is_named(run_flowlet: RunCommand, arguments: tuple[str, ...], said: str) -> None:
    result = run_flowlet("list", *arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_a_table_goes_through_a_pipe_without_being_cut(run_flowlet: RunCommand) -> None:
    start_order(run_flowlet, "--key", "K" * 200, "--external-id", "X" * 200)

    lines = run_flowlet("list").stdout.splitlines()

    assert sum("K" * 200 in line and "X" * 200 in line for line in lines) == 1


def test_what_looks_like_markup_is_shown_as_it_is(run_flowlet: RunCommand) -> None:
    start_order(run_flowlet, "--key", "[red]:smile:")

    assert "[red]:smile:" in run_flowlet("list").stdout


def test_a_key_with_a_terminal_command_is_refused(run_flowlet: RunCommand) -> None:
    result = run_flowlet("start", "OrderWorkflow", "-m", "orders.py", "--key", "\x1b[31m")

    assert (result.exit_code, "\x1b" in result.stderr) == (1, False)
    assert "businessKey: contains a line end or another control character" in result.stderr
    assert "OrderWorkflow" not in run_flowlet("list").stdout


def test_an_unknown_status_is_refused_with_the_known_ones(run_flowlet: RunCommand) -> None:
    result = run_flowlet("list", "--status", "DONE")

    assert result.exit_code == 2
    assert "finished" in result.stderr.lower()


def test_a_cancelled_instance_is_cancelled_with_the_reason_and_the_name(
    run_flowlet: RunCommand, show_instance: ShowInstance
) -> None:
    id = start_order(run_flowlet)

    result = run_flowlet("cancel", id, "--reason", "ordered twice")

    found = show_instance(id)
    assert (result.exit_code, found["status"]) == (0, "CANCELLED")
    assert found["history"][-1]["kind"] == "CANCELLED"
    assert "ordered twice" in found["history"][-1]["text"]
    assert found["history"][-1]["username"]


def test_what_has_ended_cannot_be_cancelled_again(run_flowlet: RunCommand) -> None:
    id = start_order(run_flowlet)
    run_flowlet("cancel", id)

    result = run_flowlet("cancel", id)

    assert (result.exit_code, result.stdout) == (1, "")
    assert "CANCELLED" in result.stderr


@pytest.mark.parametrize("command", ["cancel", "retry"])
def test_an_instance_with_another_version_than_expected_is_not_changed(
    run_flowlet: RunCommand, show_instance: ShowInstance, command: str
) -> None:
    id = start_order(run_flowlet)
    before = show_instance(id)

    result = run_flowlet(command, id, "--expected-version", "7")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "has version 0 now, but version 7 was expected" in result.stderr
    assert show_instance(id) == before
    assert run_flowlet("cancel", id, "--expected-version", str(before["version"])).exit_code == 0


def test_what_has_not_failed_cannot_be_retried(run_flowlet: RunCommand) -> None:
    id = start_order(run_flowlet)

    result = run_flowlet("retry", id, "-m", "orders.py")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "NEW" in result.stderr


def test_waiting_ends_with_1_at_the_timeout_and_asks_for_an_executor(run_flowlet: RunCommand) -> None:
    result = run_flowlet("start", "OrderWorkflow", "-m", "orders.py", "--wait", "--timeout", "1ms")

    assert (result.exit_code, result.stdout) == (1, "1\n")
    assert "flowlet serve" in result.stderr
