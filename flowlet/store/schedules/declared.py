"""The schedules that workflow modules declare, as an executor stores them at its start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from flowlet.definition.definition import Definition
from flowlet.definition.schedules.schedule_definition import ScheduleDefinition
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.schedules.statements import (
    find_schedules,
    insert_schedule,
    raise_version,
    report_change,
    update_schedule,
)
from flowlet.store.schedules.table import ScheduleRecord, ScheduleSource
from flowlet.store.schedules.times import plan_next_time, resume_times

__all__ = ["DeclaredResult", "build_record", "change_declaration", "save_declared_schedules"]


@dataclass(slots=True)
class DeclaredResult:
    """What became of the declared schedules.

    Attributes:
        changed: The names of those that were created, changed, enabled or disabled.
        taken: The names that another schedule has: one of another workflow, or one that a person has created.
        due: The names of those that are to be fired before they can be changed.
    """

    changed: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    due: list[str] = field(default_factory=list)


async def save_declared_schedules(
    session: DatabaseSession, definitions: Iterable[Definition], *, now: int
) -> DeclaredResult:
    """Store the schedules of some definitions, and disable those that they no longer declare.

    What a higher version of a workflow has written stays as it is, and so does a pause. One that is due is left as it
    is, too: its time belongs to what is stored.

    Args:
        session: The transaction.
        definitions: All that an executor has loaded.
        now: The store's time, in microseconds since 1970 UTC.
    """
    by_type = {definition.name: definition for definition in definitions}
    known = await _lock_known(session, by_type)
    writer = _DeclarationWriter(session, now)
    for record in known.values():
        definition = by_type.get(record.type)
        if definition is not None and record.source is ScheduleSource.CODE:
            await writer.disable_undeclared(record, definition)
    known |= writer.disabled
    for definition in by_type.values():
        for declared in definition.schedules:
            await writer.save(definition, declared, known.get(declared.name))
    if writer.result.changed:
        report_change(session)
    return writer.result


async def _lock_known(session: DatabaseSession, by_type: Mapping[str, Definition]) -> dict[str, ScheduleRecord]:
    """Lock the schedules of these workflows, and those of their names, in the order of their ids."""
    names = sorted({schedule.name for definition in by_type.values() for schedule in definition.schedules})
    types, type_values = build_in_list("type", sorted(by_type))
    binds, name_values = build_in_list("name", names)
    where = f"workflow_type IN ({types}) OR name IN ({binds}) ORDER BY id"
    lock = session.dialect.expressions.for_update_sql
    found = await find_schedules(session, where, {**type_values, **name_values}, lock=lock)
    return {record.name: record for record in found}


class _DeclarationWriter:
    """Writes what one executor declares.

    Attributes:
        result: What became of it so far.
        disabled: The schedules that were disabled.
    """

    def __init__(self, session: DatabaseSession, now: int) -> None:
        self._session = session
        self._now = now
        self.result = DeclaredResult()
        self.disabled: dict[str, ScheduleRecord] = {}

    async def disable_undeclared(self, record: ScheduleRecord, definition: Definition) -> None:
        """Disable a schedule if its workflow, in the same or a higher version, no longer declares it."""
        is_declared = any(declared.name == record.name for declared in definition.schedules)
        if is_declared or record.is_disabled or record.definition_version > definition.version:
            return
        if self._is_due(record):
            self.result.due.append(record.name)
            return
        gone = raise_version(
            record,
            now=self._now,
            username=None,
            is_disabled=True,
            pending=None,
            fault=None,
            next_fire=None,
            definition_version=definition.version,
        )
        await self._write(gone)
        self.disabled[gone.name] = gone

    async def save(self, definition: Definition, declared: ScheduleDefinition, known: ScheduleRecord | None) -> None:
        """Store a declared schedule, unless a higher version has done so, or its name is taken."""
        if known is None:
            source = ScheduleSource.CODE
            await insert_schedule(self._session, build_record(definition, declared, source, now=self._now))
            self.result.changed.append(declared.name)
            return
        is_of_another = known.type != definition.name and not known.is_disabled
        if is_of_another or known.source is not ScheduleSource.CODE:
            self.result.taken.append(declared.name)
            return
        if known.type == definition.name and known.definition_version > definition.version:
            return
        changed = change_declaration(known, definition, declared, now=self._now)
        if changed == known:
            return
        if replace(changed, definition_version=known.definition_version) == known:
            await update_schedule(self._session, changed)
        elif self._is_due(known):
            self.result.due.append(known.name)
        else:
            await self._write(raise_version(changed, now=self._now, username=None))

    def _is_due(self, record: ScheduleRecord) -> bool:
        return record.next_fire is not None and record.next_fire <= self._now

    async def _write(self, record: ScheduleRecord) -> None:
        await update_schedule(self._session, record)
        self.result.changed.append(record.name)


def build_record(
    definition: Definition,
    declared: ScheduleDefinition,
    source: ScheduleSource,
    *,
    now: int,
    username: str | None = None,
) -> ScheduleRecord:
    """Return the row of a new schedule, whose first time is the next one after now."""
    record = ScheduleRecord(
        id=0,
        name=declared.name,
        type=definition.name,
        source=source,
        spec=declared.timetable.spec,
        timezone=declared.timetable.timezone,
        overlap=declared.overlap,
        catch_up=declared.catch_up,
        jitter=declared.jitter,
        vars_json=declared.vars_json,
        next_time=None,
        next_fire=None,
        last_fire=None,
        last_workflow_id=None,
        pending=None,
        paused=None,
        paused_by=None,
        paused_reason=None,
        is_disabled=False,
        fault=None,
        definition_version=definition.version,
        version=1,
        created=now,
        created_by=username,
        modified=now,
        modified_by=username,
    )
    return plan_next_time(record, after=now)


def change_declaration(
    known: ScheduleRecord, definition: Definition, declared: ScheduleDefinition, *, now: int
) -> ScheduleRecord:
    """Return a stored schedule as it is declared now.

    New times begin with the next one after now. Times that have passed and were not fired, as those of a pause, are
    then those of the new times since the first of them: what is made up for is what ``catch_up`` says.
    """
    changed = replace(
        known,
        type=definition.name,
        spec=declared.timetable.spec,
        timezone=declared.timetable.timezone,
        overlap=declared.overlap,
        catch_up=declared.catch_up,
        jitter=declared.jitter,
        vars_json=declared.vars_json,
        is_disabled=False,
        definition_version=definition.version,
    )
    if known.is_disabled:
        return plan_next_time(changed, after=now)
    if (known.spec, known.timezone) != (changed.spec, changed.timezone):
        passed = now if known.next_time is None else known.next_time - 1
        changed = plan_next_time(changed, after=min(now, passed))
    elif known.jitter != changed.jitter:
        changed = resume_times(changed)
    has_changed = replace(changed, definition_version=known.definition_version) != known
    return replace(changed, fault=None) if has_changed else changed
