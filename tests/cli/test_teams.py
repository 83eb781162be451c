"""``flowlet team``: made, listed, changed and deleted from the command line."""

from __future__ import annotations

import json

from click.testing import CliRunner

from flowlet.cli import main
from tests.cli.conftest import RunCommand


def test_a_team_is_managed_from_the_command_line(run_flowlet: RunCommand) -> None:
    run_flowlet("db", "upgrade")
    for name in ("ann", "bob"):
        arguments = ("user", "add", name, "--role", "operator", "--password-stdin")
        CliRunner().invoke(main, arguments, input="four words make one", catch_exceptions=False)

    added = run_flowlet("team", "add", "finance", "bob", "ann")
    unknown = run_flowlet("team", "add", "finance", "nobody")
    missing = run_flowlet("team", "remove", "board", "ann")
    removed = run_flowlet("team", "remove", "finance", "ann")
    (listed,) = json.loads(run_flowlet("team", "list", "--json").stdout)
    table = run_flowlet("team", "list")
    stale = run_flowlet("team", "delete", "finance", "--expected-version", "1")
    deleted = run_flowlet("team", "delete", "finance")

    assert added.stdout == "The team finance has the members: ann, bob.\n"
    assert (unknown.exit_code, unknown.stderr) == (1, "Error: there is no user 'nobody'\n")
    assert (missing.exit_code, missing.stderr) == (1, "Error: there is no team 'board'\n")
    assert removed.stdout == "The team finance has the members: bob.\n"
    assert (listed["name"], listed["members"], listed["version"]) == ("finance", ["bob"], 2)
    assert "finance" in table.stdout
    assert (stale.exit_code, deleted.stdout) == (1, "Deleted the team finance.\n")
