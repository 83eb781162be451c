"""Newman, the runner of Postman collections, as a process: its requests, and its failures."""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from tests.database_servers import skip_or_fail
from tests.faults.processes import ManagedProcess
from tests.house.source import ROOT
from tests.postman.collection import COLLECTION_PATH, ENVIRONMENT_PATH

__all__ = ["NewmanReport", "run_collection"]

NEWMAN_PATH = ROOT / ".venv" / "newman" / "node_modules" / ".bin" / "newman"
RUN_TIMEOUT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class NewmanReport:
    """A run: the id of each request that was sent, repeats included, and the texts of failures."""

    sent_requests: tuple[frozenset[str], ...]
    failures: tuple[str, ...]


async def run_collection(cwd: Path, *, host: str, key: str, iteration_count: int) -> NewmanReport:
    """Run the collection against a server; the report is written into ``cwd``."""
    if not (NEWMAN_PATH.exists() and shutil.which("node")):
        skip_or_fail("newman is not installed: install nodejs and npm, and run .ci/prepare newman")
    written = cwd / "report.json"
    command = [str(NEWMAN_PATH), "run", str(COLLECTION_PATH), "--environment", str(ENVIRONMENT_PATH)]
    command += ["--env-var", f"host={host}", "--env-var", f"key={key}", "--timeout-request", "40000"]
    command += [
        "--iteration-count",
        str(iteration_count),
        "--reporters",
        "json",
        "--reporter-json-export",
        str(written),
    ]
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "NO_PROXY": "127.0.0.1"}
    process = ManagedProcess.start_command(command, env=environment, cwd=cwd)
    try:
        await process.wait_for_exit(timeout_seconds=RUN_TIMEOUT_SECONDS)
    finally:
        await process.close()
    return _read_report(written)


def _read_report(path: Path) -> NewmanReport:
    run = json.loads(path.read_text(encoding="utf-8"))["run"]
    sent: dict[int, set[str]] = defaultdict(set)
    for each in run["executions"]:
        sent[each["cursor"]["iteration"]].add(each["item"]["id"])
    failures = [f"{failure['source'].get('name')}: {failure['error']['message']}" for failure in run["failures"]]
    return NewmanReport(tuple(map(frozenset, sent.values())), tuple(failures))
