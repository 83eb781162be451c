"""What the tests of the command line share: a folder with workflow modules, and ``flowlet`` as a function."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import IO, Any

import pytest
from click.testing import CliRunner, Result

from flowlet.cli import main
from tests.cli.command_process import CommandProcess

RunCommand = Callable[..., Result]
StartProcess = Callable[..., CommandProcess]

ORDERS_MODULE = '''
    """Take an order."""

    from pydantic import BaseModel
    from flowlet import Context, Fail, Next, Workflow, end, manual, state

    class Order(BaseModel):
        amount: int = 1
        note: str = ""

    workflow = Workflow("OrderWorkflow", vars=Order)

    @state(start=True, next=["ship", "review"])
    async def check(order: Order, ctx: Context) -> Next:
        if order.amount == 0:
            raise Fail("nothing was ordered")
        return review if order.amount > 1000 else ship.log("small enough")

    @manual(next={"ship": "Approve"})
    async def review(ctx: Context) -> None:
        ctx.log("approved")

    @state(next=["done"])
    def ship(order: Order) -> None:
        order.note = "shipped"

    done = end("It has arrived.")
'''
FAULTY_MODULE = """
    from flowlet import end, state

    @state(start=True, next=["shiped"])
    def paid() -> None: ...

    @state(next=["done"])
    def shipped() -> None: ...

    done = end()
"""


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with orders.py and the faulty faulty.py; no setting and no proxy in the environment."""
    for name in list(os.environ):
        if name.startswith("FLOWLET_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("FLOWLET_START_TIMEOUT", "0s")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "orders.py").write_text(dedent(ORDERS_MODULE))
    (tmp_path / "faulty.py").write_text(dedent(FAULTY_MODULE))
    return tmp_path


@pytest.fixture
def run_flowlet(working_folder: Path) -> RunCommand:
    """Run the command in this process. What is raised and is no FlowletError fails the test."""

    def invoke_command(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments, prog_name="flowlet", catch_exceptions=False)

    return invoke_command


@pytest.fixture
def start_process(working_folder: Path) -> Iterator[StartProcess]:
    """Start the command as a process of its own; what is left of it is killed at the end."""
    started: list[CommandProcess] = []

    def spawn_process(*arguments: str, output: IO[bytes] | None = None, **environment: str) -> CommandProcess:
        env = {**os.environ, "FLOWLET_PORT": "0", **environment}
        descriptor = output.fileno() if output else None
        started.append(CommandProcess(arguments, env=env, cwd=working_folder, output=descriptor))
        return started[-1]

    yield spawn_process
    for one in started:
        one.close()


@pytest.fixture
def show_instance(run_flowlet: RunCommand) -> Callable[[str], dict[str, Any]]:
    """Return an instance and its history as ``flowlet show --json`` prints them."""

    def read_instance(instance: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(run_flowlet("show", instance, "--json").stdout)
        return value

    return read_instance
