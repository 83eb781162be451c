"""The statements of schedules, for a session inside of a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flowlet.store.commits import SCHEDULES_CHANGED, Commit
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.schedules.table import SCHEDULE, SCHEDULE_ENCODER, SCHEDULE_READER, ScheduleRecord
from flowlet.store.tables import WORKFLOW

__all__ = [
    "SELECT_SCHEDULES",
    "ScheduleScope",
    "find_schedules",
    "insert_schedule",
    "raise_version",
    "read_running",
    "report_change",
    "update_schedule",
]

SELECT_SCHEDULES = f"SELECT {SCHEDULE_READER.select_list} FROM {SCHEDULE}"
_INSERTED = SCHEDULE.omit_columns("id")
_UPDATED = SCHEDULE.omit_columns("id", "name", "source", "created", "created_by")
_UPDATE = f"UPDATE {SCHEDULE} SET {', '.join(f'{one.name} = :{one.name}' for one in _UPDATED)} WHERE id = :id"
_UPDATE_NAMES = frozenset(("id", *(one.name for one in _UPDATED)))


@dataclass(frozen=True, slots=True)
class ScheduleScope:
    """The schedules that an executor fires: of each workflow those up to its version."""

    versions: Mapping[str, int]

    def build_condition(self) -> tuple[str, dict[str, Any]]:
        """Return the condition of their rows, and its values; it matches nothing without a workflow."""
        terms: list[str] = []
        values: dict[str, Any] = {}
        for index, (type, version) in enumerate(sorted(self.versions.items())):
            terms.append(f"(workflow_type = :type_{index} AND definition_version <= :version_{index})")
            values |= {f"type_{index}": type, f"version_{index}": version}
        return f"({' OR '.join(terms) or '1 = 0'})", values


async def find_schedules(
    session: DatabaseSession, where: str, values: Mapping[str, Any], *, lock: str = ""
) -> list[ScheduleRecord]:
    """Return the schedules that a condition matches, which may end with an order and a limit."""
    rows = await session.fetch_rows(f"{SELECT_SCHEDULES} WHERE {where} {lock}", dict(values))
    return SCHEDULE_READER.parse_all(rows)


async def insert_schedule(session: DatabaseSession, record: ScheduleRecord) -> None:
    """Add a schedule; its id is the database's."""
    await session.insert_many(SCHEDULE, _INSERTED, [SCHEDULE_ENCODER.encode(record)[1:]])


async def update_schedule(session: DatabaseSession, record: ScheduleRecord) -> None:
    """Write the columns of a schedule whose row the transaction has locked."""
    binds = SCHEDULE_ENCODER.encode_binds(record)
    await session.execute(_UPDATE, {name: value for name, value in binds.items() if name in _UPDATE_NAMES})


def report_change(session: DatabaseSession, *, groups: Iterable[str] = ()) -> None:
    """Let the transaction's commit wake the executors: schedules have changed, and instances of groups are due."""
    session.pending_commit = Commit(frozenset((SCHEDULES_CHANGED, *groups)), ())


async def read_running(session: DatabaseSession, records: Sequence[ScheduleRecord]) -> set[int]:
    """Return which of the instances that schedules created last have not ended."""
    ids = sorted({record.last_workflow_id for record in records if record.last_workflow_id is not None})
    if not ids:
        return set()
    binds, values = build_in_list("id", ids)
    sql = f"SELECT id FROM {WORKFLOW} WHERE id IN ({binds}) AND status NOT IN ('FINISHED', 'FAILED', 'CANCELLED')"
    return {id for (id,) in await session.fetch_rows(sql, values)}


def raise_version(record: ScheduleRecord, *, now: int, username: str | None, **changes: Any) -> ScheduleRecord:
    """Return a schedule as a person, or a deploy, has changed it."""
    return replace(record, **changes, version=record.version + 1, modified=now, modified_by=username)
