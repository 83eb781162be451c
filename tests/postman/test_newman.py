"""Newman runs the whole collection against processes: it passes repeatedly, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.faults.processes import ManagedProcess
from tests.postman.collection import read_requests
from tests.postman.newman import run_collection

EVERY_REQUEST = frozenset(request.id for request in read_requests())
OPEN_STATUSES_FILTER = {"status": ["WAITING", "PAUSED"]}

# The workflows of a run wait for timers of their own, twice; a machine that is busy takes its time for the rest.
pytestmark = pytest.mark.timeout(180)


async def test_the_collection_passes_against_the_demo_twice_and_leaves_nothing_behind(
    tmp_path: Path, address_service: str
) -> None:
    async with run_flowlet(tmp_path, "demo", "--port", "0", DEMO_IP_URL=address_service) as demo:
        host = await read_word_after(demo, "Served at ")
        key = await read_word_after(demo, "API key, valid for a day: ")
        report = await run_collection(tmp_path, host=host, key=key, iteration_count=2)

        async with httpx.AsyncClient(base_url=host, headers={"X-API-Key": key}, trust_env=False) as client:
            users, keys = (await client.get("/api/users")).json(), (await client.get("/api/keys")).json()
            undone = (await client.post("/api/workflows/search", json=OPEN_STATUSES_FILTER)).json()["workflows"]
            failed = (await client.post("/api/workflows/search", json={"status": "FAILED"})).json()["workflows"]
        demo.send_signal(signal.SIGINT)
        assert await demo.wait_for_exit() == 0

    assert report.failures == ()
    assert report.sent_requests == (EVERY_REQUEST, EVERY_REQUEST)
    assert [user["username"] for user in users] == ["admin"]
    assert [key["name"] for key in keys] == ["demo"]
    assert [one["workflowType"] for one in undone] == ["ApprovalWorkflow"]  # which the demo has started itself
    assert [one["fingerprint"] for one in failed] == [None, None]  # the failures are closed


@asynccontextmanager
async def run_flowlet(cwd: Path, *arguments: str, **settings: str) -> AsyncIterator[ManagedProcess]:
    """Start ``flowlet`` with these arguments, and with settings as ``DATABASE_URL="..."``; kill it at the end."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FLOWLET_")}
    given = {f"FLOWLET_{name}": value for name, value in settings.items()}
    environment = {**inherited, **given}
    process = ManagedProcess.start_python(["-m", "flowlet", *arguments], env=environment, cwd=cwd)
    try:
        yield process
    finally:
        await process.close()


async def read_word_after(process: ManagedProcess, text: str) -> str:
    """Return the word after a text in the output of a process."""
    (line, *_) = await process.wait_for_lines(text)
    return line.partition(text)[2].split()[0]
