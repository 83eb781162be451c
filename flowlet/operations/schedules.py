"""The operations on schedules that the API, the console and the command line share.

Each is one transaction under the lock of the schedule's row, but a backfill, which has one for each 100 instances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from flowlet.accounts.audit import AuditAction, AuditEntry
from flowlet.definition.definition import Definition
from flowlet.definition.registry import Registry
from flowlet.definition.schedules.schedule_definition import build_schedule_definition
from flowlet.engine.schedules.scheduler import MAX_INSTANCES
from flowlet.errors import RefusedError, TimetableError, UnknownScheduleError, VariablesError
from flowlet.instance.new_instance import Created
from flowlet.operations.schedule_times import (
    BackfillResult,
    ScheduledTime,
    build_instances,
    describe_schedule,
    list_backfilled_times,
    list_scheduled_times,
)
from flowlet.store.opening import Store
from flowlet.store.optimistic_lock import check_version
from flowlet.store.schedules.declared import build_record, change_declaration
from flowlet.store.schedules.firing import ScheduleChange
from flowlet.store.schedules.statements import raise_version
from flowlet.store.schedules.table import ScheduleRecord, ScheduleSource
from flowlet.store.schedules.times import resume_times
from flowlet.text import MAX_IDENTIFIER_LENGTH, MAX_REASON_LENGTH, clean_text, find_text_fault
from flowlet.workflow.schedule import Overlap, Schedule

__all__ = ["ScheduleOperations"]


class ScheduleOperations:
    """Creates, edits, deletes, pauses, resumes and fires schedules.

    Every operation on a schedule takes these arguments:

    - ``name``: The schedule's name.
    - ``username``: Who runs the operation.
    - ``expected_version``: The version of the schedule that the caller has read; None for any version.

    It raises ``UnknownScheduleError`` if there is no such schedule, ``RefusedError`` if the operation is not permitted
    now, ``StaleError`` if the schedule has another version than expected, and ``StoreUnavailableError`` if the database
    cannot be reached. An operation that raises has changed nothing.

    Args:
        store: The database.
        registry: The loaded workflows. A schedule of a workflow that is not loaded can still be paused, resumed and
            deleted; the other operations raise ``UnknownWorkflowError``.
    """

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    async def list_all(self, *, type: str | None = None, after: str = "", limit: int = 1_000) -> list[ScheduleRecord]:
        """Return schedules by name.

        Args:
            type: The workflow; None for all.
            after: The name behind which they begin.
            limit: How many at most.
        """
        return await self._store.schedules.list_all(type=type, after=after, limit=limit)

    async def get(self, name: str) -> ScheduleRecord:
        """Return a schedule."""
        return await self._store.schedules.get(_check_name(name))

    def preview(self, type: str, schedule: Schedule, *, count: int = 10) -> Sequence[ScheduledTime]:
        """Return the next times that a schedule would have; nothing is stored.

        Args:
            type: The workflow's name.
            schedule: The schedule, all of which is checked.
            count: How many times, at most 100.

        Raises:
            UnknownWorkflowError: If no loaded workflow has this name.
            VariablesError: If a field has a fault, or a variable does not fit the model; names the fields.
        """
        declared = build_schedule_definition(self._registry.get_definition(type), schedule)
        return list_scheduled_times(
            declared.name, declared.timetable, declared.jitter, after=self._store.clock.now(), count=count
        )

    def list_next_times(self, record: ScheduleRecord, *, count: int = 10) -> Sequence[ScheduledTime]:
        """Return the next times of a schedule, as if it were not paused; none if its time zone is unknown here.

        Args:
            record: The schedule.
            count: How many times, at most 100.
        """
        try:
            timetable = record.build_timetable()
        except TimetableError:
            return []
        return list_scheduled_times(record.name, timetable, record.jitter, after=self._store.clock.now(), count=count)

    async def create(self, type: str, schedule: Schedule, *, username: str) -> ScheduleRecord:
        """Create a schedule of a workflow.

        Args:
            type: The workflow's name.
            schedule: The schedule.
            username: Who creates it.

        Raises:
            UnknownWorkflowError: If no loaded workflow has this name.
            VariablesError: If a field has a fault, or a variable does not fit the model; names the fields.
            RefusedError: If another schedule has its name.
        """
        definition = self._registry.get_definition(type)
        declared = build_schedule_definition(definition, schedule)
        now, by = self._store.clock.now(), _clean_username(username)
        record = build_record(definition, declared, ScheduleSource.API, now=now, username=by)
        return await self._store.schedules.insert(record)

    async def update(
        self, name: str, schedule: Schedule, *, username: str, expected_version: int | None = None
    ) -> ScheduleRecord:
        """Edit a schedule that was created by a person or a program: all of it but its name and its workflow.

        Args:
            name: The schedule's name.
            schedule: The schedule as it is to be.
            username: Who edits it.
            expected_version: The version that the caller has read; None for any.

        Raises:
            VariablesError: If a field has a fault, or a variable does not fit the model; names the fields.
            RefusedError: If a workflow's module declares it.
        """
        known = await self.get(name)
        declared = build_schedule_definition(self._registry.get_definition(known.type), schedule)
        if declared.name != name:
            fault = "cannot be changed: external ids contain it. Create another schedule"
            raise VariablesError(f"the schedule {name!r}", {"name": fault})

        def edit(record: ScheduleRecord, definition: Definition, now: int) -> ScheduleRecord:
            _refuse_declared(record, "edited")
            return change_declaration(record, definition, declared, now=now)

        return await self._change(name, edit, username, expected_version)

    async def delete(self, name: str, *, username: str, expected_version: int | None = None) -> ScheduleRecord:
        """Delete a schedule, and return it as it was. What it has created stays.

        Raises:
            RefusedError: If a workflow's module declares it.
        """

        def check(record: ScheduleRecord) -> None:
            check_version(describe_schedule(record), record.version, expected_version, changed_by=record.modified_by)
            if not record.is_disabled:
                _refuse_declared(record, "deleted")

        return await self._store.schedules.delete(
            _check_name(name), check, deleted_by=_clean_username(username), now=self._store.clock.now()
        )

    async def pause(
        self, name: str, *, username: str, reason: str | None = None, expected_version: int | None = None
    ) -> ScheduleRecord:
        """Pause a schedule until it is resumed, also over deploys. A time that waits for an instance's end waits on.

        Args:
            name: The schedule's name.
            username: Who pauses it.
            reason: Why; shown with the schedule.
            expected_version: The version that the caller has read; None for any.

        Raises:
            RefusedError: If it is paused.
        """
        by = _clean_username(username)
        text = clean_text(reason, MAX_REASON_LENGTH) if reason else None

        def decide(record: ScheduleRecord, now: int) -> ScheduleRecord:
            if record.paused is not None:
                raise RefusedError(f"{describe_schedule(record)} is paused already", ["resume"])
            return resume_times(replace(record, paused=now, paused_by=by, paused_reason=text))

        return await self._change_unloaded(name, decide, username, expected_version, AuditAction.SCHEDULE_PAUSED)

    async def resume(self, name: str, *, username: str, expected_version: int | None = None) -> ScheduleRecord:
        """Resume a paused schedule. Of the times of the pause, those are fired that its ``catch_up`` says.

        Raises:
            RefusedError: If it is not paused.
        """

        def decide(record: ScheduleRecord, now: int) -> ScheduleRecord:
            if record.paused is None:
                raise RefusedError(f"{describe_schedule(record)} is not paused", ["pause"])
            return resume_times(replace(record, paused=None, paused_by=None, paused_reason=None))

        return await self._change_unloaded(name, decide, username, expected_version, AuditAction.SCHEDULE_RESUMED)

    async def fire_now(self, name: str, *, username: str, expected_version: int | None = None) -> Created:
        """Create an instance now, also if the schedule is paused; its next time stays.

        Raises:
            RefusedError: If its last instance has not ended and ``overlap`` is not "allow"; if its workflow's module no
                longer declares it; if a higher version of the workflow has written it; if its variables do not fit
                the workflow's model in this version.
        """

        def decide(record: ScheduleRecord, is_running: bool) -> ScheduleChange:
            now = self._store.clock.now()
            check_version(describe_schedule(record), record.version, expected_version, changed_by=record.modified_by)
            definition = self._require_definition(record)
            if is_running and record.overlap is not Overlap.ALLOW:
                raise RefusedError(
                    f"workflow {record.last_workflow_id}, which {describe_schedule(record)} has created, has not "
                    f"ended, and overlap is {record.overlap}. Wait for its end, or cancel it"
                )
            (new,) = build_instances(record, definition, [now], now=now, username=_clean_username(username))
            fired = raise_version(record, now=now, username=new.username, last_fire=now)
            audit = AuditEntry(username, AuditAction.SCHEDULE_FIRED, record.name, record.type)
            return ScheduleChange(fired, audit, [new], is_firing=True)

        _, (created,) = await self._store.schedules.change(_check_name(name), decide, now=self._store.clock.now())
        return created

    async def backfill(
        self,
        name: str,
        first: datetime,
        last: datetime,
        *,
        username: str,
        expected_version: int | None = None,
    ) -> BackfillResult:
        """Create the instances of past times: those that exist already, under their external ids, stay as they are.

        All of them are created at once, whatever ``overlap`` says. It can be repeated after an error.

        Args:
            name: The schedule's name.
            first: From when; included.
            last: Until when; included, and not in the future.
            username: Who backfills.
            expected_version: The version that the caller has read; None for any.

        Raises:
            VariablesError: If the times are not in order, are in the future, have no time zone, or are more than 1,000.
            RefusedError: As for ``fire_now``, whatever ``overlap`` says.
        """
        record = await self.get(name)
        check_version(describe_schedule(record), record.version, expected_version, changed_by=record.modified_by)
        self._require_definition(record)
        times = list_backfilled_times(record, first, last, now=self._store.clock.now())
        found: list[Created] = []
        for start in range(0, len(times), MAX_INSTANCES):
            part = times[start : start + MAX_INSTANCES]
            decide = self._build_backfill(part, record.version, _clean_username(username))
            _, created = await self._store.schedules.change(name, decide, now=self._store.clock.now())
            found += created
        return BackfillResult(tuple(found))

    def _build_backfill(
        self, times: Sequence[int], version: int, username: str
    ) -> Callable[[ScheduleRecord, bool], ScheduleChange]:
        def decide(record: ScheduleRecord, is_running: bool) -> ScheduleChange:
            check_version(describe_schedule(record), record.version, version, changed_by=record.modified_by)
            definition, now = self._require_definition(record), self._store.clock.now()
            detail = f"{record.type}: {len(times)} times"
            audit = AuditEntry(username, AuditAction.SCHEDULE_BACKFILLED, record.name, detail)
            return ScheduleChange(record, audit, build_instances(record, definition, times, now=now, username=username))

        return decide

    async def _change(
        self,
        name: str,
        decide: Callable[[ScheduleRecord, Definition, int], ScheduleRecord],
        username: str,
        expected_version: int | None,
    ) -> ScheduleRecord:
        """Change a schedule whose workflow is loaded, in a version that is not below the schedule's."""

        def decide_loaded(record: ScheduleRecord, now: int) -> ScheduleRecord:
            return decide(record, self._require_definition(record), now)

        return await self._change_unloaded(
            name, decide_loaded, username, expected_version, AuditAction.SCHEDULE_CHANGED
        )

    async def _change_unloaded(
        self,
        name: str,
        decide: Callable[[ScheduleRecord, int], ScheduleRecord],
        username: str,
        expected_version: int | None,
        action: AuditAction,
    ) -> ScheduleRecord:
        by = _clean_username(username)

        def decide_and_count(record: ScheduleRecord, is_running: bool) -> ScheduleChange:
            check_version(describe_schedule(record), record.version, expected_version, changed_by=record.modified_by)
            now = self._store.clock.now()
            audit = AuditEntry(by, action, record.name, record.type)
            return ScheduleChange(raise_version(decide(record, now), now=now, username=by), audit)

        changed, _ = await self._store.schedules.change(
            _check_name(name), decide_and_count, now=self._store.clock.now()
        )
        return changed

    def _require_definition(self, record: ScheduleRecord) -> Definition:
        definition = self._registry.get_definition(record.type)
        if record.is_disabled:
            raise RefusedError(
                f"{describe_schedule(record)} is disabled: {record.type} no longer declares it", ["delete"]
            )
        if record.definition_version > definition.version:
            raise RefusedError(
                f"{describe_schedule(record)} was written by version {record.definition_version} of {record.type}, and "
                f"this process has loaded version {definition.version}. Use a process of that version"
            )
        return definition


def _refuse_declared(record: ScheduleRecord, verb: str) -> None:
    if record.source is ScheduleSource.CODE:
        raise RefusedError(
            f"{describe_schedule(record)} cannot be {verb}: {record.type} declares it. Change the workflow's module, "
            "or pause it",
            ["pause", "fire", "backfill"],
            reason=f"workflow modules declare such schedules: they cannot be {verb}",
        )


def _check_name(name: str) -> str:
    """Return a name that the database can be asked for."""
    if find_text_fault(name) or len(name) > MAX_IDENTIFIER_LENGTH:
        raise UnknownScheduleError(f"no schedule is called {name[:60]!a}")
    return name


def _clean_username(username: str) -> str:
    return clean_text(username, MAX_IDENTIFIER_LENGTH)
