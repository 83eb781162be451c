"""What the description promises is what a served process does: schemathesis asks it, thousands of times.

All of its checks are on. The texts beside ``CONFIGURATION`` say where an answer that a check would take for a fault is
what is wanted, and why.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.docs.pages import ROOT
from tests.faults.processes import ManagedProcess
from tests.web.contract.contract_server import ENDLESS_PATHS, build_environment, create_admin, serve_process

ALL_PHASES = "examples,coverage,fuzzing,stateful"
PHASES = {"postgresql": ALL_PHASES, "sqlite": "fuzzing", "mysql": "fuzzing"}
"""Values may be stored otherwise by each database, so all three get drawn ones. What the description calls for, and the
order of requests, differ by none of them."""
MIN_REQUESTS = {"postgresql": 1_500, "sqlite": 300, "mysql": 300}
SEED = os.environ.get("FLOWLET_TEST_CONTRACT_SEED", "1")
"""What is drawn is the same in each run, unless another seed asks for the new: a change fails for what it changed."""
MAX_EXAMPLES = os.environ.get("FLOWLET_TEST_CONTRACT_EXAMPLES", "4")
"""How many requests are drawn for each operation, beside those that its description calls for."""

SKIPPED_PATH = "/openapi.json"
"""What schemathesis itself leaves out: the description that it has just read."""

CONFIGURATION = """
[generation]
# NUL is refused in every text and name. JSON Schema could say so only by a pattern at each of them; what is answered to
# a NUL is tested in test_hostile_bodies.py.
allow-x00 = false

# The methods of HTTP that a path does not have are asked for at each path by test_methods.py, which is faster by far.
# One of them is enough to see that the process that serves answers as the application does.
[phases.coverage]
unexpected-methods = ["trace"]

# That the time is over, while the server is well, is a 504 for GopherFlow's clients.
[[operations]]
include-path = ["/api/createAndWait", "/api/workflows/{id}/stateAndWait"]
[operations.checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "504"]

# Which states there are, which form is to be filled in and which variables may be set depends on the instance that the
# path names. No schema of a body can know: such a request is sound, and 400.
[[operations]]
include-path = [
    "/api/workflows/{id}/state", "/api/workflows/{id}/stateAndWait", "/api/workflows/{id}/statevars",
]
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "404", "409", "504"]

# Which body fits a message depends on the workflow that receives it.
[[operations]]
include-path = ["/api/messages/{name}", "/api/workflows/{id}/messages/{name}"]
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "404", "409"]

# An interval is at most 31 days. A text that is a length of time cannot be bounded by JSON Schema.
[[operations]]
include-path = ["/api/limits/release"]
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "404"]

# Which variables fit depends on the workflow, which jitter on the interval, and which times a backfill has on the
# schedule and on the time of day.
[[operations]]
include-path = [
    "/api/schedules", "/api/schedules/preview", "/api/schedules/{name}", "/api/schedules/{name}/backfill",
]
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "404", "409"]
"""


@pytest.mark.timeout(400)
async def test_a_served_process_keeps_the_contract(database_url: str, tmp_path: Path) -> None:
    database = database_url.partition(":")[0]
    user, key = await create_admin(database_url)
    async with serve_process(database_url, tmp_path) as (server, url):
        async with httpx.AsyncClient(base_url=url, headers={"X-API-Key": key}, trust_env=False) as client:
            paths = (await client.get("/openapi.json")).json()["paths"]

        report = await run_schemathesis(url, tmp_path, user=user, key=key, phases=PHASES[database])

        assert server.is_alive
        assert [line for line in server.find_lines("[error") if "is FAILED in state" not in line] == []
    operations = [path for path in paths if path not in (*ENDLESS_PATHS, SKIPPED_PATH) for _ in paths[path]]
    accepted = [name for name, rate in report["valid_rates"].items() if any(one["accepted"] for one in rate.values())]
    assert report["operations"]["tested"] == len(operations)
    assert report["test_cases"]["generated"] >= MIN_REQUESTS[database]
    assert (report["failures"], report["errors"], report["complete"]) == ([], [], True)
    assert len(accepted) >= len(operations) * 3 / 4


async def run_schemathesis(url: str, folder: Path, *, user: int, key: str, phases: str) -> Any:
    """Let schemathesis ask whatever its description allows and forbids, and return its report."""
    (folder / "schemathesis.toml").write_text(CONFIGURATION)
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", "schemathesis.toml"]
    command += ["run", f"{url}/openapi.json", "--header", f"X-API-Key: {key}", "--continue-on-failure", "--no-shrink"]
    command += ["--report", "json", "--report-json-path", "report.json", "--no-color", "--generation-database", "none"]
    command += ["--phases", phases, "--max-examples", MAX_EXAMPLES, "--seed", SEED]
    command += [option for path in ENDLESS_PATHS for option in ("--exclude-path", path)]
    # requests looks for a proxy in all of the environment, at each request, unless it knows that there is none.
    known = {"FLOWLET_URL": url, "FLOWLET_USER": str(user), "FLOWLET_KEY": key, "no_proxy": "127.0.0.1"}
    hooks = {"SCHEMATHESIS_HOOKS": "tests.web.contract.hooks", "PYTHONPATH": str(ROOT)}
    process = ManagedProcess.start_command(command, env=build_environment({**known, **hooks}), cwd=folder)
    try:
        await process.wait_for_exit(timeout_seconds=340)
    finally:
        print("\n".join(process.lines))  # noqa: T201  # pytest shows it where the test has failed
        await process.kill()
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))
