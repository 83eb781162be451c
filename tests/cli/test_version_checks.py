"""``flowlet check --database`` and ``flowlet doctor -m``: what a deploy would do is said before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import RunCommand

DATABASE = "sqlite:///flowlet.db"
KEPT_LINE = "Ended instances are kept for ever: FLOWLET_KEEP is not set, and no workflow has keep=.\n"


@pytest.fixture
def renamed_module(run_flowlet: RunCommand, working_folder: Path) -> Path:
    """A module without the state in which an instance is that was started before."""
    assert run_flowlet("--database", DATABASE, "db", "upgrade").exit_code == 0
    assert run_flowlet("start", "OrderWorkflow", "-m", "orders.py", "--database", DATABASE).exit_code == 0
    file = working_folder / "renamed.py"
    text = (working_folder / "orders.py").read_text()
    file.write_text(text.replace("check", "examine").replace("vars=Order", "vars=Order, version=2"))
    return file


def test_without_a_database_only_the_modules_are_checked(
    run_flowlet: RunCommand, renamed_module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWLET_DATABASE_URL", DATABASE)

    result = run_flowlet("check", "renamed.py")

    assert (result.exit_code, result.stdout) == (
        0,
        "OrderWorkflow version 2: 4 states, starts with examine\n",
    )


@pytest.mark.usefixtures("renamed_module")
def test_what_would_wait_is_listed_with_its_cure_and_the_command_ends_with_1(run_flowlet: RunCommand) -> None:
    result = run_flowlet("check", "renamed.py", "--database", DATABASE)

    assert result.exit_code == 1
    _, line = result.stdout.splitlines()
    assert line == (
        "OrderWorkflow: 1 in state 'check', written by version 1 (id 1): version 2 has no state 'check': they would "
        "wait until a version runs that has it. Give the state that replaces it renamed_from='check', or restore it."
    )


@pytest.mark.usefixtures("renamed_module")
def test_a_deploy_that_is_safe_ends_with_0(run_flowlet: RunCommand) -> None:
    result = run_flowlet("--database", DATABASE, "check", "orders.py")

    assert (result.exit_code, result.stdout.splitlines()[1:]) == (
        0,
        ["All instances in flight can run with these definitions."],
    )


@pytest.mark.usefixtures("renamed_module")
def test_as_json_it_has_the_definitions_the_faults_and_what_would_wait(run_flowlet: RunCommand) -> None:
    compared = run_flowlet("check", "renamed.py", "--json", "--database", DATABASE)
    faulty = run_flowlet("check", "faulty.py", "--json", "--database", DATABASE)

    assert (compared.exit_code, faulty.exit_code) == (1, 1)
    assert json.loads(compared.stdout)["definitions"] == [
        {"name": "OrderWorkflow", "version": 2, "states": 4, "start": "examine"}
    ]
    (found,) = json.loads(compared.stdout)["incompatibilities"]
    assert (found["rule"], found["state"], found["count"], found["ids"]) == ("unknown state", "check", 1, [1])
    assert {fault["file"] for fault in json.loads(faulty.stdout)["faults"]} == {"faulty.py"}


def test_a_database_that_does_not_exist_is_named(run_flowlet: RunCommand) -> None:
    result = run_flowlet("check", "orders.py", "--database", "sqlite:///nosuch.db")

    assert result.exit_code == 1
    assert "There is no database file 'nosuch.db'." in result.stderr


@pytest.mark.usefixtures("renamed_module")
def test_the_doctor_compares_the_modules_that_it_is_given(run_flowlet: RunCommand) -> None:
    healthy = run_flowlet("doctor", "-m", "orders.py", "--database", DATABASE)
    found = run_flowlet("doctor", "-m", "renamed.py", "--database", DATABASE)

    assert (healthy.exit_code, healthy.stdout) == (0, KEPT_LINE + "Nothing is stuck, and every history is in order.\n")
    assert found.exit_code == 1
    assert found.stdout.startswith(KEPT_LINE + "1: incompatible: OrderWorkflow: 1 in state 'check', ")
