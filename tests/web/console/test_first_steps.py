"""The commands that the dashboard of a new installation prints: they are run as they are printed."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from flowlet.app import Flowlet
from flowlet.definition.registry import Registry
from flowlet.settings import Settings
from flowlet.web.console.first_steps import build_first_steps
from flowlet.workflow.states import end, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_workflow_module
from tests.web.http_server import serve_app

MODULE_TEXT = """
from flowlet import Workflow, end, state

workflow = Workflow("First One")

@state(start=True, next=["over"])
async def begin() -> str:
    return "over"

over = end()
"""


async def run_in_shell(command: str, folder: Path) -> str:
    """Run a command as a user pastes it, and return what it prints."""
    folders = [str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = {"PATH": os.pathsep.join(folders), "HOME": str(folder), "NO_COLOR": "1"}
    pipe = asyncio.subprocess.PIPE
    running = await asyncio.create_subprocess_exec(
        "bash", "-ec", command, cwd=folder, env=environment, stdout=pipe, stderr=pipe
    )
    printed, complaints = await running.communicate()
    assert running.returncode == 0, complaints.decode()
    return printed.decode()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_the_commands_work_as_printed_in_another_folder(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module_path = tmp_path / "modules" / "first.py"
    for folder in (module_path.parent, tmp_path / "elsewhere"):
        folder.mkdir()
    module_path.write_text(MODULE_TEXT)
    monkeypatch.chdir(module_path.parent)
    registry = Registry()
    registry.load(str(module_path))
    app = Flowlet(
        registry=registry, settings=Settings(database_url=sqlite_url, admin_password="correct horse", grace="0s")
    )
    async with serve_app(app) as client:
        await client.get("/healthz")
        steps = build_first_steps(
            registry, database_url=sqlite_url, url=str(client.base_url).rstrip("/"), username="admin"
        )

        started = await run_in_shell(steps.terminal, tmp_path / "elsewhere")
        created = await run_in_shell(f"{steps.key}\n{steps.http}", tmp_path / "elsewhere")

    assert started.strip().isdigit()
    assert '"id":' in created


def test_a_workflow_that_needs_no_variables_is_preferred_and_a_secret_is_not_printed() -> None:
    class Order(BaseModel):
        amount: int

    @state(start=True, next=["over"])
    async def begin() -> None: ...

    registry = Registry()
    for workflow in (Workflow("A", vars=Order), Workflow("B")):
        registry.add(build_workflow_module(workflow=workflow, begin=begin, over=end()))
    urls = ("postgresql://flow:swordfish@db/flow", "postgresql://db/flow")

    steps = [build_first_steps(registry, database_url=url, url="http://x", username="ada") for url in urls]

    assert steps[0].terminal.startswith("flowlet start B -m ")
    assert [one.needs_database for one in steps] == [True, False]
    assert "swordfish" not in repr(steps)
    assert steps[1].key.endswith("--database postgresql://db/flow)")
