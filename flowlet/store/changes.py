"""What changes instances outside of an activation: operators, repair, and the stopping of an executor.

The rows are locked first, so that nobody else writes them; a change that takes an instance from its executor moves
the fencing token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from flowlet.errors import UnknownInstanceError
from flowlet.instances import DAY, Action, Instance
from flowlet.store.connection import Connections, Session
from flowlet.store.dialect import Ended, Followups
from flowlet.store.rows import ACTION_COLUMNS, INSTANCE_COLUMNS, action_row, instance_from, instance_row

__all__ = ["Change", "apply_changes", "change", "selected"]

SYSTEM = ""
"""Under which executor id the ends that no executor made are counted."""

_WRITTEN = tuple(
    column
    for column in INSTANCE_COLUMNS
    if column not in ("id", "external_id", "parent_id", "created", "created_by", "children", "open_children")
)
_UPDATE = f"UPDATE workflow SET {', '.join(f'{column} = :{column}' for column in _WRITTEN)} WHERE id = :id"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Change:
    """An instance before and after, and the lines of history that tell it. ``version`` is raised by the store."""

    before: Instance
    after: Instance
    actions: tuple[Action, ...]


def selected(where: str, *, lock: str = "") -> str:
    """Return a SELECT of whole instances."""
    return f"SELECT {', '.join(INSTANCE_COLUMNS)} FROM workflow WHERE {where} {lock}"  # noqa: S608 - names of this package


async def change(connections: Connections, id: int, decide: Callable[[Instance], Change], *, now: int) -> Instance:
    """Lock an instance, decide, write: one transaction. Return the instance as it is then.

    Raises:
        UnknownInstanceError: If there is none of this id.
        RefusedError: Or whatever else ``decide`` raises; nothing is written then.
        StoreUnavailableError: If the database is away.
    """

    async def work(session: Session) -> Instance:
        rows = await session.rows(selected("id = :id", lock=session.dialect.for_update), {"id": id})
        if not rows:
            raise UnknownInstanceError(f"no workflow has the id {id}")
        decided = decide(instance_from(rows[0]))
        await apply_changes(session, [decided], now=now)
        return replace(decided.after, version=decided.before.version + 1)

    return await connections.write(work)


async def apply_changes(session: Session, changes: Sequence[Change], *, now: int) -> None:
    """Write changes whose rows the caller's transaction has locked, with all that follows for parents and counts."""
    groups = set()
    for made in sorted(changes, key=lambda made: made.before.id):
        values = instance_row(replace(made.after, version=made.before.version + 1))
        await session.execute(_UPDATE, {name: values[name] for name in ("id", *_WRITTEN)})
        rows = [action_row(made.before.id, action) for action in made.actions]
        await session.insert_many("workflow_action", ACTION_COLUMNS, rows)
        groups.add(made.after.executor_group)
    await _count(session, changes)
    await _tell_parents(session, changes, now)
    for group in sorted(groups):
        await session.dialect.notify(session.raw, group)


async def _count(session: Session, changes: Sequence[Change]) -> None:
    ended: list[Ended] = []
    for made in changes:
        for instance, step in ((made.before, -1), (made.after, 1)):
            if instance.has_ended and made.before.has_ended != made.after.has_ended:
                ended.append((instance.type, instance.status.value, (instance.ended or 0) // DAY, step))
    if ended:
        await session.dialect.count(session.raw, SYSTEM, ended)


async def _tell_parents(session: Session, changes: Sequence[Change], now: int) -> None:
    ended: dict[int, int] = {}
    for made in changes:
        step = made.after.has_ended - made.before.has_ended
        if made.before.parent_id is not None and step:
            ended[made.before.parent_id] = ended.get(made.before.parent_id, 0) + step
    if ended:
        await session.dialect.follow(session.raw, Followups((), sorted(ended.items()), ()), now)
