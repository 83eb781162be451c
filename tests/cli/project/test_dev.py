"""``flowlet dev``: a change restarts the server, and what it serves is the new code."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import RunCommand


@pytest.fixture
def dev_process(working_folder: Path) -> Iterator[subprocess.Popen[str]]:
    """``flowlet dev`` in an interpreter of its own, which starts others; killed at the end where it still runs."""
    command = [sys.executable, "-m", "flowlet", "dev", "orders.py"]
    env = {**os.environ, "FLOWLET_PORT": "0"}
    with subprocess.Popen(
        command, cwd=working_folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        yield process
        process.kill()


def read_until(lines: Iterator[str], pattern: str) -> re.Match[str]:
    """Return the match of the first line that has it. The test's own timeout ends a wait for nothing."""
    seen: list[str] = []
    for line in lines:
        seen.append(line)
        if found := re.search(pattern, line):
            return found
    raise AssertionError(f"no line has {pattern!r}: {seen}")


def test_a_change_is_served_and_a_fault_waits_for_the_next_one(
    run_flowlet: RunCommand, dev_process: subprocess.Popen[str], working_folder: Path
) -> None:
    module = working_folder / "orders.py"
    source = module.read_text()
    assert dev_process.stdout is not None
    lines = iter(dev_process.stdout)
    read_until(lines, "Watching .* The console: at the address below")
    read_until(lines, "the API answers at http://127.0.0.1:")
    read_until(lines, "The history as it is written")

    module.write_text(source.replace('next=["done"]', 'next=["dun"]'))
    read_until(lines, "orders.py changed: restarting")
    read_until(lines, "no such state is defined here")
    module.write_text(source.replace("small enough", "quite small"))
    read_until(lines, "orders.py changed: restarting")
    read_until(lines, "The history as it is written")
    run_flowlet("start", "OrderWorkflow", "-m", "orders.py")
    read_until(lines, r"TRANSITION  check -> ship  quite small")
    dev_process.send_signal(signal.SIGINT)

    assert dev_process.wait(30) == 0
