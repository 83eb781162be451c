"""``flowlet serve``, ``doctor`` and ``db upgrade``, as real processes where signals matter."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from flowlet.cli.feed import MAX_LINES_PER_SECOND, TITLE, FeedPrinter
from flowlet.cli.loading import get_username
from flowlet.clock import VirtualClock
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.store.history import HistoryEvent
from tests.cli.command_process import CommandProcess
from tests.cli.conftest import RunCommand, StartProcess

ENDLESS_MODULE = """
    import asyncio
    from flowlet import Workflow, end, state

    workflow = Workflow("EndlessWorkflow")

    @state(start=True, next=["done"])
    async def wait() -> None:
        await asyncio.Event().wait()

    done = end()
"""

OWN_LOGGING_MODULE = """
    import logging
    from flowlet import Flowlet

    logging.basicConfig(format="own: %(message)s", level="INFO")
    app = Flowlet(["orders"])
"""


def read_until_line(process: CommandProcess, text: str) -> None:
    """Read the log until a line holds the text."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return
    pytest.fail(f"no line with {text!r} in:\n{''.join(lines)}")


def read_screen_until(screen: FileIO, text: str) -> str:
    """Read what a process writes to its terminal until it has written the text, and return all of it."""
    shown = ""
    while text not in shown:
        shown += screen.read(4096).decode()
    return shown


def test_an_executor_runs_what_is_started_and_stops_at_a_signal(
    run_flowlet: RunCommand, start_process: StartProcess, show_instance: Callable[[str], dict[str, Any]]
) -> None:
    serving = start_process("serve", "orders.py")

    result = run_flowlet("start", "OrderWorkflow", "-m", "orders.py", "--wait", "--timeout", "20s")

    assert (result.exit_code, result.stderr) == (0, "FINISHED in state done\n")
    assert show_instance(result.stdout.strip())["vars"]["note"] == "shipped"
    serving.send_signal(signal.SIGTERM)
    assert serving.wait(20) == 0


def test_waiting_for_one_that_fails_ends_with_1_and_says_why(
    run_flowlet: RunCommand, start_process: StartProcess
) -> None:
    start_process("serve", "orders.py")
    arguments = ("start", "OrderWorkflow", "-m", "orders.py", "--vars", '{"amount": 0}', "--wait", "--timeout", "20s")

    result = run_flowlet(*arguments)

    assert result.exit_code == 1
    assert result.stderr.startswith("FAILED in state check")
    assert "nothing was ordered" in result.stderr


def test_a_failed_instance_is_shown_with_its_traceback(run_flowlet: RunCommand, start_process: StartProcess) -> None:
    serving = start_process("serve", "orders.py")
    arguments = ("start", "OrderWorkflow", "-m", "orders.py", "--vars", '{"amount": 0}', "--wait", "--timeout", "20s")
    id = run_flowlet(*arguments).stdout.strip()

    shown = run_flowlet("show", id).stdout

    assert "Attempt 1 in state check at 20" in shown
    assert 'raise Fail("nothing was ordered")\nflowlet.errors.Fail: nothing was ordered\n' in shown
    read_until_line(serving, "attempt 1 of state 'check' of workflow 1 (OrderWorkflow) failed: Fail: nothing was")
    read_until_line(serving, 'raise Fail("nothing was ordered")')
    read_until_line(serving, "workflow 1 (OrderWorkflow) is FAILED in state 'check'")


def test_a_failed_instance_is_due_again_after_a_retry(
    run_flowlet: RunCommand, start_process: StartProcess, show_instance: Callable[[str], dict[str, Any]]
) -> None:
    serving = start_process("serve", "orders.py")
    arguments = ("start", "OrderWorkflow", "-m", "orders.py", "--vars", '{"amount": 0}', "--wait", "--timeout", "20s")
    id = run_flowlet(*arguments).stdout.strip()
    serving.send_signal(signal.SIGINT)
    assert serving.wait(20) == 0

    result = run_flowlet("retry", id, "-m", "orders.py")

    assert result.exit_code == 0
    assert show_instance(id)["status"] == "IN_PROGRESS"
    assert show_instance(id)["history"][-1]["kind"] == "RETRIED"


def test_a_second_signal_stops_at_once(
    run_flowlet: RunCommand, start_process: StartProcess, working_folder: Path
) -> None:
    (working_folder / "endless.py").write_text(dedent(ENDLESS_MODULE))
    serving = start_process("serve", "endless.py", FLOWLET_GRACE="1h")
    read_until_line(serving, "EndlessWorkflow")
    run_flowlet("start", "EndlessWorkflow", "-m", "endless.py")
    while not json.loads(run_flowlet("list", "--status", "EXECUTING", "--json").stdout):
        assert serving.returncode is None

    serving.send_signal(signal.SIGTERM)
    read_until_line(serving, "stop signal received")
    serving.send_signal(signal.SIGTERM)

    assert serving.wait(20) == 0
    assert json.loads(run_flowlet("list", "--status", "EXECUTING", "--json").stdout) == []


@pytest.mark.parametrize("obstacle", ["a handler", "the database"])
def test_a_second_signal_ends_what_cannot_stop(
    run_flowlet: RunCommand, start_process: StartProcess, working_folder: Path, obstacle: str
) -> None:
    wait = "await asyncio.Event().wait()"
    blocked = "all(not zero for zero in iter(int, 1))" if obstacle == "a handler" else wait
    module = dedent(ENDLESS_MODULE).replace(wait, f"print('ran', flush=True); {blocked}")
    (working_folder / "endless.py").write_text(module)
    serving = start_process("serve", "endless.py", "--no-web", FLOWLET_GRACE="1h")
    read_until_line(serving, "EndlessWorkflow")
    run_flowlet("start", "EndlessWorkflow", "-m", "endless.py")
    assert serving.stdout
    assert serving.stdout.readline() == "ran\n"

    with contextlib.closing(sqlite3.connect(working_folder / "flowlet.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for number in (signal.SIGTERM, signal.SIGINT):  # of two equal ones that are pending, one is lost
            serving.send_signal(number)
        assert serving.wait(20) == 1

    read_until_line(serving, "not stopped within 5 s of the second signal")


def test_the_log_of_an_executor_can_be_json_and_hides_the_password(
    start_process: StartProcess, postgres_url: str
) -> None:
    url = postgres_url.replace("@", ":secret@")
    serving = start_process("serve", "orders.py", FLOWLET_LOG_FORMAT="json", FLOWLET_DATABASE_URL=url)

    first = json.loads(serving.stderr.readline())

    assert first["level"] == "info"
    assert postgres_url.replace("@", ":***@") in first["event"]


def test_on_a_terminal_each_line_of_history_is_printed(run_flowlet: RunCommand, start_process: StartProcess) -> None:
    terminal, own_end = os.openpty()
    with os.fdopen(terminal, "rb", buffering=0) as screen, os.fdopen(own_end, "wb") as output:
        start_process("serve", "orders.py", "--no-web", output=output)
        read_screen_until(screen, TITLE)
        run_flowlet("start", "OrderWorkflow", "-m", "orders.py")

        shown = read_screen_until(screen, "ship -> done")

    assert "OrderWorkflow 1: CREATED" in shown
    assert "OrderWorkflow 1: TRANSITION  check -> ship  small enough" in shown


def test_without_a_terminal_nothing_is_printed_unless_it_is_wanted(
    run_flowlet: RunCommand, start_process: StartProcess
) -> None:
    silent = start_process("serve", "orders.py", "--no-web")
    run_flowlet("start", "OrderWorkflow", "-m", "orders.py", "--wait", "--timeout", "20s")
    silent.send_signal(signal.SIGTERM)
    wanted = start_process("serve", "orders.py", "--no-web", "--feed")
    assert wanted.stdout is not None
    assert wanted.stdout.readline() == f"{TITLE}\n"
    run_flowlet("start", "OrderWorkflow", "-m", "orders.py")

    assert wanted.stdout.readline() == "OrderWorkflow 2: CREATED  check  by " + get_username() + "\n"
    assert silent.communicate(timeout=20)[0] == ""


def test_the_feed_prints_no_more_lines_than_can_be_read() -> None:
    clock, lines = VirtualClock(), list[str]()
    printer = FeedPrinter(clock, lines.append)
    event = HistoryEvent(
        id=1,
        workflow_id=7,
        kind=ActionKind.LOG,
        at=0,
        from_state="check",
        to_state=None,
        text="looked",
        attempt=1,
        duration_ms=None,
        executor_id=None,
        username=None,
        on_behalf_of=None,
        type="Orders",
        external_id="order-7",
        business_key="order-7",
        executor_group="default",
        status=Status.EXECUTING,
        state="check",
    )

    printer.print_events([event] * (MAX_LINES_PER_SECOND + 5))
    printer.print_events([event])
    clock.advance(1_000_000)
    printer.print_events([])

    assert lines == [*["Orders 7: LOG  check  looked"] * MAX_LINES_PER_SECOND, "… 6 more lines"]


def test_the_applications_own_root_handlers_receive_the_lines(
    working_folder: Path, start_process: StartProcess
) -> None:
    (working_folder / "main.py").write_text(dedent(OWN_LOGGING_MODULE))
    serving = start_process("serve", "main:app", "--no-web")

    read_until_line(serving, "own: executor ")


def test_serving_a_module_with_faults_ends_with_1_before_any_database_is_made(
    run_flowlet: RunCommand, working_folder: Path
) -> None:
    result = run_flowlet("serve", "faulty.py")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "faulty.py:" in result.stderr
    assert not list(working_folder.glob("*.db*"))


def test_the_tables_are_made_once(run_flowlet: RunCommand) -> None:
    first = run_flowlet("db", "upgrade", "--database", "sqlite:///shop.db")
    second = run_flowlet("db", "upgrade", "--database", "sqlite:///shop.db")

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert json.loads(run_flowlet("list", "--json", "--database", "sqlite:///shop.db").stdout) == []


def test_a_database_without_tables_is_told_how_to_get_them(run_flowlet: RunCommand, working_folder: Path) -> None:
    (working_folder / "empty.db").touch()

    result = run_flowlet("list", "--database", "sqlite:///empty.db")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "flowlet db upgrade" in result.stderr


def test_a_file_that_is_no_database_is_one_message(run_flowlet: RunCommand, working_folder: Path) -> None:
    (working_folder / "notes.txt").write_text("not a database at all, but long enough to look like something\n" * 50)

    result = run_flowlet("db", "upgrade", "--database", "sqlite:///notes.txt")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")


def test_the_doctor_finds_nothing_in_a_database_in_order(run_flowlet: RunCommand) -> None:
    run_flowlet("db", "upgrade")

    result = run_flowlet("doctor")

    assert (result.exit_code, result.stderr) == (0, "")


def test_help_names_every_command(run_flowlet: RunCommand) -> None:
    result = run_flowlet("--help")

    listed = result.stdout.partition("Commands:")[2].split("\n")
    names = {line.split()[0] for line in listed if line.startswith("  ") and line[2] != " "}
    assert names == {
        *("abort", "cancel", "check", "db", "demo", "diagram", "diff", "doctor"),
        *("key", "list", "retry", "schedule", "serve"),
        *("export", "import", "lane", "limit", "send", "show", "start", "team", "user", "view"),
        *("acknowledge", "assign", "audit", "inbox", "unassign"),
        *("answer", "definitions", "dev", "events", "executors", "move", "new", "pause", "resume", "set", "wake"),
    }


def test_the_version_is_the_distributions(run_flowlet: RunCommand) -> None:
    result = run_flowlet("--version")

    assert result.exit_code == 0
    assert result.stdout.startswith("flowlet, version ")


def test_an_unknown_command_ends_with_2(run_flowlet: RunCommand) -> None:
    assert run_flowlet("sing").exit_code == 2


def test_starting_the_command_imports_neither_a_database_nor_the_web() -> None:
    heavy = {"databases", "sqlalchemy", "quart", "hypercorn", "rich", "httpx", "asyncpg", "aiomysql", "aiosqlite"}
    code = "import sys, flowlet.cli; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert heavy.isdisjoint(loaded)
