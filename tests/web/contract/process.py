"""A process that serves the workflows of this folder, and an admin who asks it."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from flowlet.roles import Role
from flowlet.store.opening import open_store
from flowlet.users import Users
from tests.faults.processes import Process

__all__ = ["ENDLESS", "admin", "environment", "served"]

HERE = Path(__file__).parent
ENDLESS = ["/api/events"]
"""A stream of events has no answer that one could wait for."""


async def admin(url: str, password: str = "a very good password") -> tuple[int, str]:
    """Make an admin whose key asks; return the user's id and the key."""
    async with open_store(url) as store:
        users = Users(store)
        user = await users.create("contract", password, Role.ADMIN, by="test")
        return user.id, (await users.keys.add("contract", username=user.username, role=Role.ADMIN, by="test")).text


@asynccontextmanager
async def served(url: str, folder: Path, **settings: str) -> AsyncIterator[tuple[Process, str]]:
    """Serve the workflows of this folder by a process, with settings as ``log_level="DEBUG"``; give its address."""
    given = {"database_url": url, "port": "0", **settings}
    variables = {f"FLOWLET_{name.upper()}": value for name, value in given.items()}
    modules = [str(path) for path in sorted((HERE / "workflows").glob("*.py"))]
    process = await Process.start(
        [sys.executable, "-m", "flowlet", "serve", *modules], env=environment(variables), cwd=folder
    )
    try:
        (line,) = await process.says("the API answers at")
        yield process, line.partition("answers at ")[2].split()[0]
    finally:
        await process.close()


def environment(more: dict[str, str]) -> dict[str, str]:
    """Return the environment of a process, without settings of whoever runs the tests."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("FLOWLET_", "SCHEMATHESIS_"))}
    return {**own, **more}
