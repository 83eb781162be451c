"""``flowlet lane``: paused and resumed from the command line."""

from __future__ import annotations

import json

from tests.cli.conftest import RunCommand


def test_a_group_is_paused_and_resumed_from_the_command_line(run_flowlet: RunCommand) -> None:
    run_flowlet("db", "upgrade")

    paused = run_flowlet("lane", "pause", "group", "night", "--reason", "the bank moves")
    (listed,) = json.loads(run_flowlet("lane", "list", "--json").stdout)
    table = run_flowlet("lane", "list")
    again = run_flowlet("lane", "pause", "group", "night", "--reason", "again")
    unknown = run_flowlet("lane", "pause", "workflow", "Orders", "--reason", "why")
    odd = run_flowlet("lane", "pause", "state", "Orders", "--reason", "why")
    resumed = run_flowlet("lane", "resume", "group", "night")
    not_paused = run_flowlet("lane", "resume", "group", "night")

    assert paused.stdout.startswith("the executor group 'night' is paused by ")
    assert paused.stdout.endswith(": the bank moves.\n")
    assert (listed["kind"], listed["name"], listed["reason"]) == ("group", "night", "the bank moves")
    assert "night" in table.stdout
    assert (again.exit_code, "is paused already" in again.stderr) == (1, True)
    assert "no process has served a workflow called 'Orders'" in unknown.stderr
    assert odd.exit_code == 2
    assert resumed.stdout == "the executor group 'night' is resumed.\n"
    assert (not_paused.exit_code, not_paused.stderr) == (1, "Error: the executor group 'night' is not paused\n")
