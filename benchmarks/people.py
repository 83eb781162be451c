"""What people leave in a filled database: the inbox of what waits, the audit, schedules and saved views.

``fill.py`` calls it; it uses the same seedless data each time, so that the figures of the pages compare.
"""

from __future__ import annotations

from typing import Any, Protocol

from histories import APPROVAL, ORDER

from flowlet.accounts.audit import AuditAction
from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.definition.registry import Registry
from flowlet.operations.service import Operations
from flowlet.store.opening import Store
from flowlet.workflow.schedule import Schedule

__all__ = ["AUDITED", "SCHEDULES", "VIEWS", "fill_people"]

AUDITED, SCHEDULES, CHUNK_SIZE = 200_000, 200, 20_000
VIEWS = {
    "Failed orders": f"type={ORDER}&status=FAILED&sort=-modified",
    "Large orders": f"type={ORDER}&variable=amount%3E%3D30&column=status&column=vars.customer&column=vars.amount",
    "Old approvals": f"type={APPROVAL}&status=WAITING&sort=next&column=state&column=created",
}
_AUDIT_COLUMNS = ("at", "actor", "on_behalf_of", "via", "action", "subject", "detail")
# One entry for each instance that waits: the commit that enters a manual state writes it.
_INBOX_SQL = """
INSERT INTO flowlet_inbox (workflow_id, visit, title, entered, teams, reminders, escalations, escalated_to)
SELECT id, visit, 'Approve the expense', modified, '[]', 0, '[]', '[]' FROM flowlet_workflow WHERE status = 'WAITING'
"""


class BulkWriter(Protocol):
    """What writes many rows at once."""

    async def write(self, table: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None: ...


async def fill_people(store: Store, registry: Registry, writer: BulkWriter) -> None:
    """Write the inbox, the audit, 200 schedules, and a few shared views."""
    await store.connections.write(lambda session: session.execute(_INBOX_SQL))
    now, actions = store.clock.now(), [action.value for action in AuditAction]
    for first in range(0, AUDITED, CHUNK_SIZE):
        rows = [_build_audit_row(place, now, actions) for place in range(first, first + CHUNK_SIZE)]
        await writer.write("flowlet_audit", _AUDIT_COLUMNS, rows)
    operations = Operations(store, registry)
    for number in range(SCHEDULES):
        schedule = Schedule(f"{number % 60} {number % 24} * * *", name=f"nightly-{number:03}")
        await operations.schedules.create(ORDER, schedule, username="admin")
    for name, address in VIEWS.items():
        await operations.views.create(name, address, username="admin", is_shared=True)


def _build_audit_row(place: int, now: int, actions: list[str]) -> tuple[Any, ...]:
    """Return a row of the audit: one a minute, by fifty users, of each action in its turn."""
    at = now - (AUDITED - place) * 60 * MICROSECONDS_PER_SECOND
    actor = "admin" if place % 50 == 0 else f"user-{place % 50}"
    return (at, actor, None, "console", actions[place % len(actions)], str(place), None)
