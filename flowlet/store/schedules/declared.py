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

__all__ = ["DeclaredResult", "build_record", "change_declaration", "find_unsaved_schedules", "save_declared_schedules"]


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
    plan = _DeclarationPlan(now)
    plan.add(definitions, await _find_known(session, definitions, lock=session.dialect.expressions.for_update_sql))
    for record in plan.inserted:
        await insert_schedule(session, record)
    for record in plan.updated:
        await update_schedule(session, record)
    if plan.result.changed:
        report_change(session)
    return plan.result


async def find_unsaved_schedules(
    session: DatabaseSession, definitions: Iterable[Definition], *, now: int
) -> DeclaredResult | None:
    """Return what became of declared schedules of which none is to be written; None if one is. Nothing is locked.

    Args:
        session: The session.
        definitions: As for ``save_declared_schedules``.
        now: The store's time, in microseconds since 1970 UTC.
    """
    plan = _DeclarationPlan(now)
    plan.add(definitions, await _find_known(session, definitions))
    return None if plan.inserted or plan.updated else plan.result


async def _find_known(
    session: DatabaseSession, definitions: Iterable[Definition], *, lock: str = ""
) -> dict[str, ScheduleRecord]:
    """Return the schedules of these workflows, and those of their names, in the order of their ids."""
    given = tuple(definitions)
    types, type_values = build_in_list("type", sorted(definition.name for definition in given))
    names = sorted({schedule.name for definition in given for schedule in definition.schedules})
    binds, name_values = build_in_list("name", names)
    where = f"workflow_type IN ({types}) OR name IN ({binds}) ORDER BY id"
    found = await find_schedules(session, where, {**type_values, **name_values}, lock=lock)
    return {record.name: record for record in found}


class _DeclarationPlan:
    """What is to be written of what one executor declares.

    Attributes:
        result: What becomes of it.
        inserted: The new rows.
        updated: The changed rows.
    """

    def __init__(self, now: int) -> None:
        self._now = now
        self.result = DeclaredResult()
        self.inserted: list[ScheduleRecord] = []
        self.updated: list[ScheduleRecord] = []

    def add(self, definitions: Iterable[Definition], known: Mapping[str, ScheduleRecord]) -> None:
        """Add the schedules of some definitions, given all that are stored of their workflows and names."""
        by_type = {definition.name: definition for definition in definitions}
        present = dict(known)
        for record in known.values():
            definition = by_type.get(record.type)
            if definition is not None and record.source is ScheduleSource.CODE:
                present[record.name] = self._disable_undeclared(record, definition)
        for definition in by_type.values():
            for declared in definition.schedules:
                self._add_declared(definition, declared, present.get(declared.name))

    def _disable_undeclared(self, record: ScheduleRecord, definition: Definition) -> ScheduleRecord:
        """Disable a schedule if its workflow, in the same or a higher version, no longer declares it."""
        is_declared = any(declared.name == record.name for declared in definition.schedules)
        if is_declared or record.is_disabled or record.definition_version > definition.version:
            return record
        if self._is_due(record):
            self.result.due.append(record.name)
            return record
        gone = replace(
            record,
            is_disabled=True,
            pending=None,
            fault=None,
            next_fire=None,
            definition_version=definition.version,
        )
        return self._update(gone)

    def _add_declared(self, definition: Definition, declared: ScheduleDefinition, known: ScheduleRecord | None) -> None:
        """Store a declared schedule, unless a higher version has done so, or its name is taken."""
        if known is None:
            self.inserted.append(build_record(definition, declared, ScheduleSource.CODE, now=self._now))
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
            self.updated.append(changed)
        elif self._is_due(known):
            self.result.due.append(known.name)
        else:
            self._update(changed)

    def _is_due(self, record: ScheduleRecord) -> bool:
        return record.next_fire is not None and record.next_fire <= self._now

    def _update(self, record: ScheduleRecord) -> ScheduleRecord:
        changed = raise_version(record, now=self._now, username=None)
        self.updated = [one for one in self.updated if one.id != changed.id] + [changed]
        self.result.changed.append(changed.name)
        return changed


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
