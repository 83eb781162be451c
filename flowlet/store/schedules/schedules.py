"""The table of schedules: what executors fire, and what people create and change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from flowlet.accounts.audit import AuditAction, AuditEntry
from flowlet.definition.definition import Definition
from flowlet.errors import RefusedError, UnknownScheduleError
from flowlet.instance.new_instance import Created
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.definitions import save_concurrently
from flowlet.store.people.audit import write_audit
from flowlet.store.schedules.declared import DeclaredResult, find_unsaved_schedules, save_declared_schedules
from flowlet.store.schedules.firing import (
    FiredSchedule,
    PlannedFiring,
    ScheduleChange,
    ScheduleLook,
    create_instances,
    fire_schedules,
    look_at_schedules,
)
from flowlet.store.schedules.statements import (
    ScheduleScope,
    find_schedules,
    insert_schedule,
    read_running,
    report_change,
    update_schedule,
)
from flowlet.store.schedules.table import SCHEDULE, ScheduleRecord
from flowlet.text import MAX_INTEGER, MAX_NAME_LENGTH

__all__ = ["ScheduleStore"]


class ScheduleStore:
    """Reads and writes schedules. Every method that writes is one transaction, and wakes the executors."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def look(self, scope: ScheduleScope, *, now: int) -> ScheduleLook:
        """Return what there is to fire, now and next.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        return await self._connections.read(lambda session: look_at_schedules(session, scope, now=now))

    async def fire(
        self,
        scope: ScheduleScope,
        plan: Callable[[ScheduleRecord, bool, int], PlannedFiring],
        *,
        now: int,
        limit: int,
        max_instances: int,
    ) -> list[FiredSchedule]:
        """Fire schedules that are due; see ``fire_schedules``.

        Raises:
            StoreUnavailableError: If the database is unavailable; what was committed then is not fired again.
        """
        return await self._connections.write(
            lambda session: fire_schedules(session, scope, plan, now=now, limit=limit, max_instances=max_instances)
        )

    async def save_declared(self, definitions: Iterable[Definition], *, now: int) -> DeclaredResult:
        """Store the schedules that modules declare; see ``save_declared_schedules``.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        given = sorted(definitions, key=lambda definition: definition.name)
        # Most starts change nothing: these do not lock rows that other executors fire.
        unchanged = await self._connections.read(lambda session: find_unsaved_schedules(session, given, now=now))
        if unchanged is not None:
            return unchanged

        async def save(session: DatabaseSession) -> DeclaredResult:
            return await save_declared_schedules(session, given, now=now)

        return await save_concurrently(self._connections, save)

    async def insert(self, record: ScheduleRecord) -> ScheduleRecord:
        """Add a schedule, and return it with its id.

        Raises:
            RefusedError: If another schedule has its name.
        """

        async def insert_new(session: DatabaseSession) -> ScheduleRecord:
            if await find_schedules(session, "name = :name", {"name": record.name}):
                raise _build_name_refusal(record.name)
            await insert_schedule(session, record)
            entry = AuditEntry(record.created_by or "", AuditAction.SCHEDULE_CREATED, record.name, record.type)
            await write_audit(session, [entry], now=record.created)
            report_change(session)
            (stored,) = await find_schedules(session, "name = :name", {"name": record.name})
            return stored

        try:
            return await self._connections.write(insert_new)
        except Exception as error:
            # Of two at once the unique index refuses one, with an error of the driver's own.
            if self._connections.dialect.errors.is_refusal(error) and await self._has_name(record.name):
                raise _build_name_refusal(record.name) from None
            raise

    async def change(
        self,
        name: str,
        decide: Callable[[ScheduleRecord, bool], ScheduleChange],
        *,
        now: int,
    ) -> tuple[ScheduleRecord, list[Created]]:
        """Lock a schedule, decide, create instances, write; return it afterwards, and the instances.

        Args:
            name: The schedule's name.
            decide: Returns the change, given the schedule and whether its last instance runs. It is called again if
                the transaction lost against another one.
            now: The store's time, in microseconds since 1970 UTC.

        Raises:
            UnknownScheduleError: If there is none of this name.
            RefusedError: Or any other error that ``decide`` raises; nothing is written then.
        """

        async def lock_and_change(session: DatabaseSession) -> tuple[ScheduleRecord, list[Created]]:
            record = await _lock(session, name)
            running = await read_running(session, [record])
            change = decide(record, record.last_workflow_id in running)
            by_external_id = await create_instances(session, change.instances, now=now)
            created = [by_external_id[new.external_id] for new in change.instances]
            changed = change.record
            if change.is_firing:
                changed = replace(changed, last_workflow_id=created[-1].id)
            if changed != record:
                await update_schedule(session, changed)
            await write_audit(session, [change.audit], now=now)
            report_change(session, groups=sorted({new.group for new in change.instances}))
            return changed, created

        return await self._connections.write(lock_and_change)

    async def delete(
        self, name: str, check: Callable[[ScheduleRecord], None], *, deleted_by: str, now: int
    ) -> ScheduleRecord:
        """Lock a schedule, check, delete it, and return it as it was.

        Raises:
            UnknownScheduleError: If there is none of this name.
            RefusedError: Or any other error that ``check`` raises; nothing is deleted then.
        """

        async def check_and_delete(session: DatabaseSession) -> ScheduleRecord:
            record = await _lock(session, name)
            check(record)
            await session.execute(f"DELETE FROM {SCHEDULE} WHERE id = :id", {"id": record.id})
            entry = AuditEntry(deleted_by, AuditAction.SCHEDULE_DELETED, record.name, record.type)
            await write_audit(session, [entry], now=now)
            report_change(session)
            return record

        return await self._connections.write(check_and_delete)

    async def get(self, name: str) -> ScheduleRecord:
        """Return the schedule of a name.

        Raises:
            UnknownScheduleError: If there is none.
        """
        return _require_one(await self._find("name = :name", {"name": name}), name)

    async def get_by_id(self, id: int) -> ScheduleRecord:
        """Return the schedule of an id.

        Raises:
            UnknownScheduleError: If there is none.
        """
        found = await self._find("id = :id", {"id": id}) if 0 < id <= MAX_INTEGER else []
        if not found:
            raise UnknownScheduleError(f"no schedule has the id {id}")
        return found[0]

    async def list_all(self, *, type: str | None = None, after: str = "", limit: int = 1_000) -> list[ScheduleRecord]:
        """Return schedules by name, those behind ``after``, of one workflow or of all."""
        condition = "name > :after" + ("" if type is None else " AND workflow_type = :type")
        values = {"after": after, "limit": limit} | ({} if type is None else {"type": type})
        return await self._find(f"{condition} ORDER BY name LIMIT :limit", values)

    async def _find(self, where: str, values: Mapping[str, object]) -> list[ScheduleRecord]:
        return await self._connections.read(lambda session: find_schedules(session, where, values))

    async def _has_name(self, name: str) -> bool:
        return bool(await self._find("name = :name", {"name": name}))


async def _lock(session: DatabaseSession, name: str) -> ScheduleRecord:
    lock = session.dialect.expressions.for_update_sql
    return _require_one(await find_schedules(session, "name = :name", {"name": name}, lock=lock), name)


def _require_one(found: Sequence[ScheduleRecord], name: str) -> ScheduleRecord:
    if not found:
        raise UnknownScheduleError(f"no schedule is called {name[:MAX_NAME_LENGTH]!r}")
    return found[0]


def _build_name_refusal(name: str) -> RefusedError:
    return RefusedError(f"there is a schedule {name!r} already: a schedule's name is unique over all workflows")
