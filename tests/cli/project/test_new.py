"""``flowlet new``: a first workflow whose test passes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import RunCommand


def test_the_first_workflow_has_no_fault_and_its_test_passes(run_flowlet: RunCommand, working_folder: Path) -> None:
    made = run_flowlet("new", "order_intake")

    checked = run_flowlet("check", "order_intake")
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "test_order_intake.py"],
        cwd=working_folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert made.stdout.startswith("Wrote order_intake.py\nWrote test_order_intake.py\n")
    assert checked.stdout == "OrderIntake version 1: 5 states, starts with receive\n"
    assert (tested.returncode, "3 passed" in tested.stdout) == (0, True), tested.stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Order", "is not the name of a module"),
        ("order-intake", "is not the name of a module"),
        ("class", "is not the name of a module"),
        ("json", "which yours would hide"),
        ("orders", "orders.py exists already"),
    ],
)
def test_a_name_that_cannot_be_used_writes_nothing(
    run_flowlet: RunCommand, working_folder: Path, name: str, message: str
) -> None:
    before = {path: path.read_text() for path in working_folder.iterdir()}

    result = run_flowlet("new", name)

    assert (result.exit_code, message in result.stderr) == (2, True)
    assert {path: path.read_text() for path in working_folder.iterdir()} == before
