"""Newman, the runner of Postman collections, as a process: what it has asked, and what did not hold."""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from tests.faults.processes import Process
from tests.house.source import ROOT
from tests.postman.collection import COLLECTION, ENVIRONMENT
from tests.servers import missing

__all__ = ["Report", "run_collection"]

NEWMAN = ROOT / ".venv" / "newman" / "node_modules" / ".bin" / "newman"
RUN_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Report:
    """A run: the ids of the requests that were sent, each time of it by itself, and in words what failed."""

    sent: tuple[frozenset[str], ...]
    failures: tuple[str, ...]


async def run_collection(cwd: Path, *, host: str, key: str, times: int = 1) -> Report:
    """Run the collection against a server; the report is written into ``cwd``."""
    if not (NEWMAN.exists() and shutil.which("node")):
        missing("newman is not installed: install nodejs and npm, and run .ci/prepare newman")
    written = cwd / "report.json"
    command = [str(NEWMAN), "run", str(COLLECTION), "--environment", str(ENVIRONMENT)]
    command += ["--env-var", f"host={host}", "--env-var", f"key={key}", "--timeout-request", "40000"]
    command += ["--iteration-count", str(times), "--reporters", "json", "--reporter-json-export", str(written)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "NO_PROXY": "127.0.0.1"}
    process = await Process.start(command, env=environment, cwd=cwd)
    try:
        await process.ended(within=RUN_SECONDS)
    finally:
        await process.close()
    return _report(written)


def _report(written: Path) -> Report:
    run = json.loads(written.read_text(encoding="utf-8"))["run"]
    sent: dict[int, set[str]] = defaultdict(set)
    for each in run["executions"]:
        sent[each["cursor"]["iteration"]].add(each["item"]["id"])
    failures = [f"{failure['source'].get('name')}: {failure['error']['message']}" for failure in run["failures"]]
    return Report(tuple(map(frozenset, sent.values())), tuple(failures))
