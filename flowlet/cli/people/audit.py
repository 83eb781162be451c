"""The command ``audit``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from flowlet.cli.options import json_option, target_options
from flowlet.text import MAX_INTEGER

if TYPE_CHECKING:
    from flowlet.accounts.audit import AuditRecord
    from flowlet.cli.targets.target import Target

__all__ = ["audit"]


@click.command()
@click.option("--person", metavar="NAME", help="Only what this user did, or an API key on behalf of this person.")
@click.option("--action", metavar="ACTION", help="Only this action, e.g. workflow.answered.")
@click.option("--before", metavar="ID", type=click.IntRange(1, MAX_INTEGER), help="Only entries with a lower id.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@json_option
@target_options
def audit(person: str | None, action: str | None, before: int | None, limit: int, *, as_json: bool) -> None:
    """Show who did what, newest first: operations, logins, and changes of users, keys, teams, schedules and limits."""
    from flowlet.accounts.audit import AuditAction
    from flowlet.cli.output import format_json, format_time, serialize_record
    from flowlet.cli.tables import TableColumn, print_table
    from flowlet.cli.targets.opening import run_on_target
    from flowlet.store.people.audit import AuditQuery
    from flowlet.text import format_suggestion

    if action is not None and action not in set(AuditAction):
        known = [one.value for one in AuditAction]
        raise click.BadParameter(f"no action is called {action!r}.{format_suggestion(action, known)}")
    query = AuditQuery(person, action, before, limit)

    async def read(target: Target) -> Sequence[AuditRecord]:
        return await target.list_audit(query)

    found = run_on_target(read)
    if as_json:
        click.echo(format_json([serialize_record(record) for record in found]))
        return
    columns = (
        TableColumn("Id", rank=2),
        TableColumn("Time"),
        TableColumn("Person", may_be_cut=True),
        TableColumn("Via", rank=1),
        TableColumn("Action"),
        TableColumn("Subject", may_be_cut=True),
        TableColumn("Detail", may_be_cut=True),
    )
    print_table(columns, [_build_row(one, format_time(one.at)) for one in found])


def _build_row(record: AuditRecord, time: str) -> tuple[object, ...]:
    person = record.actor or "unknown"
    if record.on_behalf_of is not None:
        person = f"{record.on_behalf_of} (by {record.actor})"
    return (record.id, time, person, record.via, record.action, record.subject, record.detail or "")
