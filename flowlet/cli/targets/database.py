"""A database as the target of a command."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any

from flowlet.accounts.audit import AuditRecord
from flowlet.cli.loading import get_username
from flowlet.cli.targets.database_people import DatabasePeople
from flowlet.cli.targets.target import (
    EventConditions,
    InstanceOperation,
    ListedDefinition,
    ListedQuestion,
    QuestionPage,
    ScheduleChange,
)
from flowlet.definition.registry import Registry
from flowlet.engine.event_stream import EventBroadcaster
from flowlet.engine.waiters import Waiters
from flowlet.instance.action import Action
from flowlet.instance.instance import Instance
from flowlet.instance.message import Sent
from flowlet.instance.new_instance import Created
from flowlet.operations.people.inbox import InboxRequest, read_person_inbox
from flowlet.operations.requested_state import RequestedState
from flowlet.operations.schedule_times import BackfillResult, ScheduledTime
from flowlet.operations.service import Operations
from flowlet.store.definitions import StoredDefinition
from flowlet.store.executors import ExecutorRecord
from flowlet.store.history import HistoryEvent
from flowlet.store.limits.limits import LimitUse
from flowlet.store.limits.table import LaneKind, LanePause
from flowlet.store.opening import Store
from flowlet.store.people.audit import AuditQuery
from flowlet.store.reports.children import CountedChildren, read_child_counts
from flowlet.store.reports.inbox import WaitingInstance
from flowlet.store.schedules.table import ScheduleRecord
from flowlet.store.search.query import SearchQuery, SearchResult
from flowlet.workflow.schedule import Schedule

__all__ = ["DatabaseTarget"]


class DatabaseSchedules:
    """The schedules of a database.

    Args:
        operations: The operations on instances and schedules.
        username: Who operates; recorded with each change.
    """

    def __init__(self, operations: Operations, username: str) -> None:
        self._schedules = operations.schedules
        self._username = username

    async def list_page(self, *, type: str | None, after: str) -> Sequence[ScheduleRecord]:
        """Return the schedules behind a name."""
        return await self._schedules.list_all(type=type, after=after)

    async def get(self, name: str) -> ScheduleRecord:
        """Return a schedule."""
        return await self._schedules.get(name)

    async def list_next_times(self, record: ScheduleRecord) -> Sequence[str]:
        """Return its next ten times."""
        return _list_texts(self._schedules.list_next_times(record))

    async def preview(self, type: str, schedule: Schedule) -> Sequence[str]:
        """Return the next ten times of a schedule that is not stored."""
        return _list_texts(self._schedules.preview(type, schedule))

    async def create(self, type: str, schedule: Schedule) -> None:
        """Create a schedule."""
        await self._schedules.create(type, schedule, username=self._username)

    async def change(self, operation: ScheduleChange, name: str, **arguments: Any) -> ScheduleRecord:
        """Pause or resume a schedule."""
        changed: ScheduleRecord = await getattr(self._schedules, operation)(name, username=self._username, **arguments)
        return changed

    async def delete(self, name: str, *, expected_version: int | None) -> None:
        """Delete a schedule."""
        await self._schedules.delete(name, username=self._username, expected_version=expected_version)

    async def fire(self, name: str, *, expected_version: int | None) -> Created:
        """Create an instance of a schedule now."""
        return await self._schedules.fire_now(name, username=self._username, expected_version=expected_version)

    async def backfill(
        self, name: str, first: datetime, last: datetime, *, expected_version: int | None
    ) -> BackfillResult:
        """Create the instances of past times."""
        return await self._schedules.backfill(
            name, first, last, username=self._username, expected_version=expected_version
        )


class DatabaseLimits:
    """The limits and the lanes of a database.

    Args:
        operations: The operations on instances, limits and lanes.
        username: Who operates; recorded with each change.
    """

    def __init__(self, operations: Operations, username: str) -> None:
        self._limits, self._lanes = operations.limits, operations.lanes
        self._username = username

    async def list_all(self) -> Sequence[LimitUse]:
        """Return every limit."""
        return await self._limits.list_all()

    async def hold(self, workflow: str, state: str | None, *, reason: str) -> LimitUse:
        """Let no attempt begin."""
        return await self._limits.hold(workflow, state, username=self._username, reason=reason)

    async def release(self, workflow: str, state: str | None, *, interval: str | None) -> LimitUse:
        """Let attempts begin again."""
        return await self._limits.release(workflow, state, username=self._username, interval=interval)

    async def list_paused(self) -> Sequence[LanePause]:
        """Return the paused lanes."""
        return await self._lanes.list_paused()

    async def pause(self, kind: LaneKind, name: str, *, reason: str) -> LanePause:
        """Pause a lane."""
        return await self._lanes.pause(kind, name, username=self._username, reason=reason)

    async def resume(self, kind: LaneKind, name: str) -> LanePause:
        """End the pause of a lane."""
        return await self._lanes.resume(kind, name, username=self._username)


class DatabaseTarget:
    """A database, on which this process operates itself.

    Args:
        store: The database.
        registry: The loaded workflows.
    """

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._username = get_username()
        self._operations = Operations(store, registry)
        self.people = DatabasePeople(store, self._username)
        self.limits = DatabaseLimits(self._operations, self._username)
        self.schedules = DatabaseSchedules(self._operations, self._username)

    async def find(self, reference: str) -> Instance:
        """Return an instance."""
        return await self._store.queries.find(reference)

    async def count_children(self, instance: Instance) -> CountedChildren:
        """Return how many children an instance has."""
        return await read_child_counts(self._store.connections, instance)

    async def explain_wait(self, instance: Instance) -> str | None:
        """Return what keeps a due instance from running."""
        operations = self._operations
        return await operations.lanes.explain_wait(instance) or await operations.limits.explain_wait(instance)

    async def read_history(self, id: int) -> Sequence[Action]:
        """Return the history of an instance."""
        return await self._store.queries.read_history(id)

    async def search(self, query: SearchQuery) -> SearchResult:
        """Return a page of instances."""
        return await self._store.queries.search(query)

    async def create(self, type: str, values: Mapping[str, Any]) -> Created:
        """Create an instance of a workflow."""
        return await self._operations.create(type, **values, username=self._username)

    async def wait_for_end(
        self, created: Created, type: str, values: Mapping[str, Any], *, timeout_seconds: float
    ) -> Instance:
        """Return an instance when it has ended."""
        return await Waiters(self._store, self._store.clock).wait(created.id, timeout=timeout_seconds)

    async def operate(self, operation: InstanceOperation, reference: str, **arguments: Any) -> Instance:
        """Run an operation on an instance."""
        found = await self.find(reference)
        if operation == "move":
            return await self._enter_state(found.id, **arguments)
        after: Instance = await getattr(self._operations, operation)(found.id, username=self._username, **arguments)
        return after

    async def _enter_state(
        self,
        id: int,
        *,
        state: str,
        when: datetime | None,
        force: bool,
        reason: str | None,
        expected_version: int | None,
    ) -> Instance:
        """Move an instance, or answer it where it waits for this choice, as a server does."""
        requested = RequestedState(state, when=when, is_forced=force, reason=reason)
        return await self._operations.enter_state(
            id, requested, username=self._username, expected_version=expected_version
        )

    async def send(self, name: str, reference: str | None, values: Mapping[str, Any]) -> Sent:
        """Send a message."""
        to = None if reference is None else (await self.find(reference)).id
        return await self._operations.send(name, to=to, **values, username=self._username)

    async def follow_events(self, query: EventConditions) -> AsyncIterator[HistoryEvent]:
        """Yield the events that match."""

        def is_wanted(event: HistoryEvent) -> bool:
            return (
                query.workflow_id in (None, event.workflow_id)
                and query.type in (None, event.type)
                and (not query.kinds or event.kind in query.kinds)
            )

        broadcaster = EventBroadcaster(self._store)
        stream = broadcaster.subscribe(is_wanted, after=query.after, workflow_id=query.workflow_id)
        try:
            async with aclosing(stream) as batches:
                async for batch in batches:
                    for delivery in batch.deliveries:
                        yield delivery.event
        finally:
            broadcaster.close()

    async def list_executors(self, *, limit: int) -> Sequence[ExecutorRecord]:
        """Return the executors."""
        return await self._store.executors.list_all(limit=limit)

    async def list_questions(self, request: InboxRequest) -> QuestionPage:
        """Return a page of the inbox."""
        person = await self._operations.decisions.find_person(self._username)
        found = await read_person_inbox(self._store, person, request)
        questions = tuple(_summarize_question(one) for one in found.waiting_instances)
        return QuestionPage(questions, found.total, found.next_cursor)

    async def assign(self, reference: str, assignee: str | None, *, expected_version: int | None) -> Instance:
        """Assign the question of an instance."""
        return await self._operations.decisions.assign(
            (await self.find(reference)).id, assignee, username=self._username, expected_version=expected_version
        )

    async def list_audit(self, query: AuditQuery) -> Sequence[AuditRecord]:
        """Return a page of the audit."""
        return await self._store.audit.list_page(query)

    async def list_definitions(self) -> Sequence[ListedDefinition]:
        """Return the newest stored version of each definition."""
        return [_summarize(stored) for _, stored in sorted((await self._store.definitions.read_newest()).items())]


def _summarize(stored: StoredDefinition) -> ListedDefinition:
    document = stored.document
    return ListedDefinition(
        name=stored.name,
        version=stored.version,
        start=document["start"],
        group=document["executorGroup"],
        priority=document["priority"],
        states=len(document["states"]),
        description=document["description"],
    )


def _summarize_question(waiting: WaitingInstance) -> ListedQuestion:
    instance, entry = waiting.instance, waiting.entry
    return ListedQuestion(
        instance.id,
        instance.external_id,
        instance.key,
        instance.type,
        instance.state,
        instance.version,
        title=entry.title if entry else None,
        summary=entry.summary if entry else None,
        since=waiting.since,
        deadline=instance.next_activation_us,
        teams=entry.teams if entry else (),
        assignee=entry.assignee if entry else None,
        reminders=entry.reminder_count if entry else 0,
        escalated_to=entry.escalated_to if entry else (),
    )


def _list_texts(times: Sequence[ScheduledTime]) -> list[str]:
    return [time.text for time in times]
