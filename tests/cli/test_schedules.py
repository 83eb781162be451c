"""``flowlet schedule``: made, shown, paused, fired and removed from the command line."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import RunCommand


def test_a_schedule_is_managed_from_the_command_line(run_flowlet: RunCommand, working_folder: Path) -> None:
    assert (working_folder / "orders.py").exists()
    run_flowlet("db", "upgrade")
    options = ("--cron", "30 2 * * *", "--timezone", "Europe/Berlin", "--vars", '{"amount": 3}', "-m", "orders.py")

    previewed = run_flowlet("schedule", "add", "nightly", "OrderWorkflow", *options, "--preview")
    added = run_flowlet("schedule", "add", "nightly", "OrderWorkflow", *options)
    refused = run_flowlet("schedule", "add", "nightly", "OrderWorkflow", *options)
    paused = run_flowlet("schedule", "pause", "nightly", "--reason", "holidays")
    listed = run_flowlet("schedule", "list")
    shown = json.loads(run_flowlet("schedule", "show", "nightly", "--json").stdout)
    resumed = run_flowlet("schedule", "resume", "nightly")
    fired = run_flowlet("schedule", "fire", "nightly", "-m", "orders.py")
    filled = run_flowlet("schedule", "backfill", "nightly", "2026-03-28", "2026-03-30", "-m", "orders.py")
    removed = run_flowlet("schedule", "remove", "nightly")

    assert (len(previewed.stdout.split()), previewed.stdout) == (10, added.stdout)
    assert (refused.exit_code, "there is a schedule 'nightly' already" in refused.stderr) == (1, True)
    assert paused.stdout == "Paused nightly.\n"
    assert "holidays" in listed.stdout
    assert (shown["pausedReason"], shown["vars"]["amount"], shown["times"]) == ("holidays", 3, added.stdout.split())
    assert (resumed.exit_code, fired.stdout, filled.stdout) == (0, "1\n", "Created 2; 0 existed.\n")
    assert removed.stdout == "Deleted nightly.\n"
    assert run_flowlet("schedule", "show", "nightly").stderr == "Error: no schedule is called 'nightly'\n"


def test_faults_of_a_schedule_name_their_options(run_flowlet: RunCommand, working_folder: Path) -> None:
    assert (working_folder / "orders.py").exists()
    run_flowlet("db", "upgrade")

    result = run_flowlet("schedule", "add", "x", "OrderWorkflow", "--cron", "0 3 * *", "-m", "orders.py")

    assert result.exit_code == 1
    assert "cron: has to have five fields" in result.stderr
