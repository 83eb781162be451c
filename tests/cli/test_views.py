"""``flowlet view``, and ``flowlet list --view``."""

from __future__ import annotations

import json

from tests.cli.conftest import RunCommand

PAUSED = "status=PAUSED&sort=-modified"


def test_a_shared_view_is_saved_listed_renamed_and_deleted(run_flowlet: RunCommand) -> None:
    run_flowlet("db", "upgrade")

    saved = run_flowlet("view", "save", "Held", f"https://example.org/workflows?{PAUSED}&view=9", "--shared")
    again = json.loads(run_flowlet("view", "save", "HELD", "status=PAUSED", "--shared", "--json").stdout)
    unknown = run_flowlet("view", "save", "Held", "colour=red", "--shared")
    own = run_flowlet("view", "save", "Mine", "")
    both = run_flowlet("view", "save", "Other", "", "--shared", "--default")
    renamed = run_flowlet("view", "rename", "held", "Paused", "--shared", "--expected-version", "2")
    table, (listed,) = run_flowlet("view", "list").stdout, json.loads(run_flowlet("view", "list", "--json").stdout)
    stale = run_flowlet("view", "delete", "Paused", "--shared", "--expected-version", "2")
    missing = run_flowlet("view", "delete", "Paused")
    deleted = run_flowlet("view", "delete", "paused", "--shared")

    assert saved.stdout == f"The shared view Held has the address: {PAUSED}\n"
    assert (again["id"], again["name"], again["address"], again["version"]) == (1, "Held", "status=PAUSED", 2)
    assert (unknown.exit_code, "colour: is no filter" in unknown.stderr) == (1, True)
    assert (own.exit_code, "there is no user" in own.stderr) == (1, True)
    assert "a shared view cannot be a default" in both.stderr
    assert renamed.stdout == "The shared view Paused has the address: status=PAUSED\n"
    assert ("Paused" in table, listed["name"], listed["isShared"]) == (True, "Paused", True)
    assert (stale.exit_code, "has version 3" in stale.stderr) == (1, True)
    assert (missing.exit_code, missing.stderr) == (1, "Error: there is no view of yours 'Paused'\n")
    assert deleted.stdout == "Deleted the view paused.\n"


def test_instances_are_listed_by_a_view(run_flowlet: RunCommand) -> None:
    run_flowlet("db", "upgrade")
    run_flowlet("view", "save", "Held", PAUSED, "--shared")

    empty = run_flowlet("list", "--view", "held", "--limit", "5")
    missing = run_flowlet("list", "--view", "nothing")
    combined = run_flowlet("list", "--view", "held", "--status", "NEW")

    assert (empty.exit_code, empty.stderr) == (0, "No instance matches.\n")
    assert (missing.exit_code, missing.stderr) == (1, "Error: there is no view 'nothing'\n")
    assert (combined.exit_code, "--view cannot be combined" in combined.stderr) == (2, True)
