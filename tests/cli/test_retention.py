"""``db prune``, ``db forget``, ``export`` and ``import``, and what the doctor says is kept."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.cli.conftest import RunCommand

DATABASE = ("--database", "sqlite:///flowlet.db")


def create_cancelled(run_flowlet: RunCommand, *keys: str) -> None:
    """Create an order for each key, cancel it, and let that be long ago."""
    for key in keys:
        run_flowlet("start", "OrderWorkflow", "-m", "orders.py", "--key", key, "--external-id", f"order-{key}")
        run_flowlet("cancel", f"order-{key}")
    with closing(sqlite3.connect("flowlet.db", isolation_level=None)) as database:
        database.execute("UPDATE flowlet_workflow SET ended = ended - 100 * 86400000000")


def test_prune_says_what_it_would_delete_and_deletes_it(
    run_flowlet: RunCommand, show_instance: Callable[[str], dict[str, Any]], monkeypatch: Any
) -> None:
    create_cancelled(run_flowlet, "ada", "bob")
    nothing = run_flowlet("db", "prune")
    kept = run_flowlet("doctor")
    monkeypatch.setenv("FLOWLET_KEEP", "90 days")
    monkeypatch.setenv("FLOWLET_KEEP_EXTERNAL_IDS", "always")
    preview = run_flowlet("db", "prune", "--dry-run")
    before = show_instance("order-ada")

    deleted, doctor = run_flowlet("db", "prune", "--type", "OrderWorkflow"), run_flowlet("doctor")

    assert nothing.stdout == "Deleted 0 instances in 0 trees.\n"
    assert "Ended instances are kept for ever: FLOWLET_KEEP is not set" in kept.stdout
    assert "OrderWorkflow 90 days (FLOWLET_KEEP) 2 " in " ".join(preview.stdout.split())
    assert before["status"] == "CANCELLED"
    assert deleted.stdout == "Deleted 2 instances in 2 trees.\n"
    assert doctor.stdout.startswith("Kept: OrderWorkflow for 90 days (FLOWLET_KEEP).\nNothing is stuck")
    gone = run_flowlet("show", "order-ada")
    assert gone.exit_code == 1
    assert "with the external id 'order-ada' has ended, and was deleted at" in gone.stderr


def test_prune_before_a_time_and_of_a_workflow_that_is_unknown(run_flowlet: RunCommand) -> None:
    create_cancelled(run_flowlet, "ada")

    early = run_flowlet("db", "prune", "--before", "2020-01-01")
    unknown = run_flowlet("db", "prune", "--type", "OrderWorkflo", "--before", "2099-01-01")
    late = run_flowlet("db", "prune", "--before", "2099-01-01")

    assert early.stdout == "Deleted 0 instances in 0 trees.\n"
    assert (unknown.exit_code, "no workflow is called 'OrderWorkflo'. Known: OrderWorkflow." in unknown.stderr) == (
        1,
        True,
    )
    assert late.stdout == "Deleted 1 instances in 1 trees.\n"


def test_an_export_is_imported_into_another_database(run_flowlet: RunCommand, working_folder: Path) -> None:
    create_cancelled(run_flowlet, "ada", "bob")

    exported = run_flowlet("export", "all.jsonl.zst")
    imported = run_flowlet("import", "all.jsonl.zst", "--database", "sqlite:///copy.db")
    again = run_flowlet("import", "all.jsonl.zst", "--database", "sqlite:///copy.db")

    assert exported.stdout == "Exported 2 trees to all.jsonl.zst.\n"
    assert imported.stdout.startswith("Imported 2 trees, 0 of them under new ids")
    assert again.stdout.endswith("2 were there already.\n")
    listed = [
        json.loads(run_flowlet("list", "--json", "--database", f"sqlite:///{name}.db").stdout)
        for name in ("flowlet", "copy")
    ]
    assert listed[0] == listed[1]


def test_programs_read_what_was_done_as_json(run_flowlet: RunCommand) -> None:
    def run(*arguments: str) -> Any:
        return json.loads(run_flowlet(*arguments, "--json").stdout)

    upgraded = run("db", "upgrade")
    create_cancelled(run_flowlet, "ada", "bob")
    exported = run("export", "all.jsonl.zst")
    imported = run("import", "all.jsonl.zst", "--database", "sqlite:///copy.db")
    preview = run("db", "prune", "--before", "2099-01-01", "--dry-run")
    forgotten = run("db", "forget", "--key", "ada", "--yes")
    nothing = run("db", "forget", "--key", "ada", "--yes")
    pruned = run("db", "prune", "--before", "2099-01-01")

    assert upgraded == {"database": "sqlite:///flowlet.db", "schema": None, "isUpToDate": True}
    assert exported == {"trees": 2, "file": "all.jsonl.zst"}
    assert imported == {"imported": 2, "renumbered": 0, "present": 0, "conflict": 0, "conflicts": []}
    assert [(one["type"], one["prunable"], one["keep"], one["source"]) for one in preview] == [
        ("OrderWorkflow", 2, "always", "setting")
    ]
    assert forgotten == pruned == {"trees": 1, "instances": 1}
    assert nothing == {"trees": 0, "instances": 0}


def test_forget_asks_and_deletes_what_has_a_key(run_flowlet: RunCommand) -> None:
    create_cancelled(run_flowlet, "ada", "bob")

    refused = run_flowlet("db", "forget", "--key", "ada")
    done = run_flowlet("db", "forget", "--key", "ada", "--yes")
    again = run_flowlet("db", "forget", "--key", "ada", "--yes")

    assert refused.exit_code == 1
    assert done.stdout == "Deleted 1 instances in 1 trees.\n"
    assert again.stdout == "No instance has this business key.\n"
