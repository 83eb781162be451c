"""A process that serves the workflows of this folder, and an admin who asks it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from flowlet.accounts.roles import Role
from flowlet.auth.users import Users
from flowlet.store.opening import open_store
from tests.docs.pages import ROOT
from tests.faults.processes import ManagedProcess

__all__ = ["ENDLESS_PATHS", "build_environment", "create_admin", "serve_process"]

WORKFLOW_FOLDERS = (Path(__file__).parent / "workflows", ROOT / "demo")
"""The demo's models are those that anyone would write: not strict, and with few bounds."""
ENDLESS_PATHS = ["/api/events"]
"""A stream of events has no answer that one could wait for."""


async def create_admin(url: str, password: str = "a very good password") -> tuple[int, str]:
    """Make an admin whose key asks; return the user's id and the key."""
    async with open_store(url) as store:
        users = Users(store)
        user = await users.create("contract", password, Role.ADMIN, actor="test")
        return user.id, (
            await users.keys.create("contract", username=user.username, role=Role.ADMIN, actor="test")
        ).text


@asynccontextmanager
async def serve_process(url: str, folder: Path, **settings: str) -> AsyncIterator[tuple[ManagedProcess, str]]:
    """Serve the workflows of this folder by a process, with settings as ``log_level="DEBUG"``; give its address."""
    given = {"database_url": url, "port": "0", "demo_ip_url": "http://127.0.0.1:9/ip", **settings}
    variables = {f"FLOWLET_{name.upper()}": value for name, value in given.items()}
    modules = [str(path) for folder in WORKFLOW_FOLDERS for path in sorted(folder.glob("[!_]*.py"))]
    arguments = ["-m", "flowlet", "serve", *modules]
    process = ManagedProcess.start_python(arguments, env=build_environment(variables), cwd=folder)
    try:
        (line,) = await process.wait_for_lines("the API answers at")
        yield process, line.partition("answers at ")[2].split()[0]
    finally:
        await process.close()


def build_environment(variables: dict[str, str]) -> dict[str, str]:
    """Return the environment of a process, without settings of whoever runs the tests."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("FLOWLET_", "SCHEMATHESIS_"))}
    return {**own, **variables}
