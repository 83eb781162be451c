"""``flowlet audit``: who did what, and API keys that act on behalf of others."""

from __future__ import annotations

import json

from click.testing import CliRunner

from flowlet.cli import main
from flowlet.cli.loading import get_username
from tests.cli.conftest import RunCommand


def test_the_audit_is_read_from_the_command_line(run_flowlet: RunCommand) -> None:
    run_flowlet("db", "upgrade")
    arguments = ("user", "add", "ann", "--role", "operator", "--password-stdin")
    CliRunner().invoke(main, arguments, input="four words make one", catch_exceptions=False)
    made = run_flowlet("key", "add", "portal", "--user", "ann", "--role", "operator", "--on-behalf")
    (key,) = json.loads(run_flowlet("key", "list", "--json").stdout)
    run_flowlet("team", "add", "finance", "ann")

    table = run_flowlet("audit")
    changed, created = json.loads(run_flowlet("audit", "--json", "--limit", "2").stdout)
    filtered = json.loads(run_flowlet("audit", "--person", get_username(), "--action", "user.created", "--json").stdout)
    unknown = run_flowlet("audit", "--action", "user.craeted")

    assert "acts on behalf of others" in made.stderr
    assert key["mayActOnBehalf"] is True
    assert "team.changed" in table.stdout
    assert (changed["action"], changed["actor"], changed["via"]) == ("team.changed", get_username(), "cli")
    assert (created["subject"], created["detail"]) == (key["id"], "of ann, role operator, acts on behalf of others")
    assert [one["subject"] for one in filtered] == ["ann"]
    assert (unknown.exit_code, "Did you mean 'user.created'?" in unknown.stderr) == (2, True)
