"""A server as the target of a command: everything goes through its API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from flowlet.accounts.audit import AuditRecord
from flowlet.cli.targets.api_records import (
    build_action,
    build_audit_record,
    build_event,
    build_executor,
    build_instance,
    build_lane_pause,
    build_limit_use,
    build_question,
    build_schedule,
    summarize_definition,
)
from flowlet.cli.targets.server_people import ServerPeople
from flowlet.cli.targets.target import (
    EventConditions,
    InstanceOperation,
    ListedDefinition,
    QuestionPage,
    ScheduleChange,
)
from flowlet.client import AsyncClient, Filter, Id
from flowlet.client import WaitTimeoutError as ClientWaitTimeoutError
from flowlet.clock import StoreClock, to_datetime, to_microseconds
from flowlet.errors import VariablesError, WaitTimeoutError
from flowlet.instance.action import Action
from flowlet.instance.instance import SCHEDULED_STATUSES, Instance
from flowlet.instance.message import Sent
from flowlet.instance.new_instance import Created
from flowlet.operations.people.inbox import InboxRequest
from flowlet.operations.schedule_times import BackfillResult, list_scheduled_times
from flowlet.store.executors import ExecutorRecord
from flowlet.store.history import HistoryEvent
from flowlet.store.limits.limits import LimitUse
from flowlet.store.limits.table import LaneKind, LanePause
from flowlet.store.people.audit import AuditQuery
from flowlet.store.reports.children import CountedChildren
from flowlet.store.schedules.table import ScheduleRecord
from flowlet.store.search.query import TIME_COLUMNS, SearchQuery, SearchResult
from flowlet.text import parse_number
from flowlet.workflow.schedule import Schedule, find_schedule_faults

__all__ = ["ServerTarget"]

_TIME_FILTERS = [f"{column}_{end}" for column in TIME_COLUMNS for end in ("from", "to")]


class ServerSchedules:
    """The schedules of a server.

    Args:
        client: The client of the server.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._schedules = client.schedules

    async def list_page(self, *, type: str | None, after: str) -> Sequence[ScheduleRecord]:
        """Return the schedules behind a name."""
        return [build_schedule(one) for one in await self._schedules.list_all(type=type, after=after or None)]

    async def get(self, name: str) -> ScheduleRecord:
        """Return a schedule."""
        return build_schedule(await self._schedules.get(name))

    async def list_next_times(self, record: ScheduleRecord) -> Sequence[str]:
        """Return its next ten times."""
        return [time.local for time in await self._schedules.list_times(record.name)]

    async def preview(self, type: str, schedule: Schedule) -> Sequence[str]:
        """Return the next ten times of a schedule that is not stored, by this machine's clock.

        Raises:
            NotFoundError: If the server has loaded no such workflow.
            VariablesError: If a field has a fault. The server checks the variables at the creation.
        """
        await self._client.get_definition(type)
        if faults := find_schedule_faults(schedule):
            raise VariablesError(f"schedule {schedule.name!r}", faults)
        jitter, now = to_microseconds(schedule.parse_jitter()), StoreClock().now()
        times = list_scheduled_times(schedule.name, schedule.build_timetable(), jitter, after=now, count=10)
        return [time.text for time in times]

    async def create(self, type: str, schedule: Schedule) -> None:
        """Create a schedule."""
        await self._schedules.create(
            type,
            schedule.name,
            cron=schedule.cron,
            every=schedule.every,
            timezone=schedule.timezone,
            overlap=schedule.overlap,
            catch_up=schedule.catch_up,
            jitter=schedule.jitter,
            vars=schedule.vars,
        )

    async def change(self, operation: ScheduleChange, name: str, **arguments: Any) -> ScheduleRecord:
        """Pause or resume a schedule."""
        return build_schedule(await getattr(self._schedules, operation)(name, **arguments))

    async def delete(self, name: str, *, expected_version: int | None) -> None:
        """Delete a schedule."""
        await self._schedules.delete(name, expected_version=expected_version)

    async def fire(self, name: str, *, expected_version: int | None) -> Created:
        """Create an instance of a schedule now."""
        created = await self._schedules.fire(name, expected_version=expected_version)
        return Created(created.id, created.external_id, created.is_new)

    async def backfill(
        self, name: str, first: datetime, last: datetime, *, expected_version: int | None
    ) -> BackfillResult:
        """Create the instances of past times."""
        result = await self._schedules.backfill(name, first, last, expected_version=expected_version)
        return BackfillResult(tuple(Created(one.id, one.external_id, one.is_new) for one in result.instances))


class ServerLimits:
    """The limits and the lanes of a server.

    Args:
        client: The client of the server.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._limits, self._lanes = client.limits, client.lanes

    async def list_all(self) -> Sequence[LimitUse]:
        """Return every limit."""
        return [build_limit_use(one) for one in await self._limits.list_all()]

    async def hold(self, workflow: str, state: str | None, *, reason: str) -> LimitUse:
        """Let no attempt begin."""
        return build_limit_use(await self._limits.hold(workflow, state=state, reason=reason))

    async def release(self, workflow: str, state: str | None, *, interval: str | None) -> LimitUse:
        """Let attempts begin again."""
        return build_limit_use(await self._limits.release(workflow, state, interval=interval))

    async def list_paused(self) -> Sequence[LanePause]:
        """Return the paused lanes."""
        return [build_lane_pause(one) for one in await self._lanes.list_paused()]

    async def pause(self, kind: LaneKind, name: str, *, reason: str) -> LanePause:
        """Pause a lane."""
        return build_lane_pause(await self._lanes.pause(kind.value, name, reason=reason))

    async def resume(self, kind: LaneKind, name: str) -> LanePause:
        """End the pause of a lane."""
        return build_lane_pause(await self._lanes.resume(kind.value, name))


class ServerTarget:
    """A server, which operates on its database.

    Args:
        client: The client of the server.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self.people = ServerPeople(client)
        self.limits = ServerLimits(client)
        self.schedules = ServerSchedules(client)

    async def find(self, reference: str) -> Instance:
        """Return an instance."""
        return build_instance(await self._client.get(_parse_reference(reference)))

    async def count_children(self, instance: Instance) -> CountedChildren:
        """Return how many children an instance has."""
        counts = await self._client.count_children(instance.id)
        return CountedChildren(counts.total, counts.unmade, counts.by_status)

    async def explain_wait(self, instance: Instance) -> str | None:
        """Return what keeps a due instance from running."""
        return (await self._client.get(instance.id)).wait_reason

    async def read_history(self, id: int) -> Sequence[Action]:
        """Return the history of an instance."""
        return [build_action(one) for one in await self._client.get_history(id)]

    async def search(self, query: SearchQuery) -> SearchResult:
        """Return a page of instances."""
        page = await self._client.search(
            order_by=query.order_by,
            descending=query.descending,
            limit=query.limit,
            cursor=query.cursor,
            **_build_filter(query),
        )
        instances = [build_instance(one) for one in page.instances]
        return SearchResult(tuple(instances), page.total, page.total_is_at_least, page.next_cursor)

    async def create(self, type: str, values: Mapping[str, Any]) -> Created:
        """Create an instance of a workflow."""
        created = await self._client.create(type, **values)
        return Created(created.id, created.external_id, created.is_new, created.is_pruned)

    async def wait_for_end(
        self, created: Created, type: str, values: Mapping[str, Any], *, timeout_seconds: float
    ) -> Instance:
        """Return an instance when it has ended: creating it again creates nothing and waits."""
        again = {**values, "external_id": created.external_id}
        try:
            return build_instance(await self._client.create_and_wait(type, timeout=f"{timeout_seconds:f}s", **again))
        except ClientWaitTimeoutError as error:
            found = None if error.instance is None else build_instance(error.instance)
            raise WaitTimeoutError(str(error), instance=found) from error

    async def operate(self, operation: InstanceOperation, reference: str, **arguments: Any) -> Instance:
        """Run an operation on an instance."""
        return build_instance(await getattr(self._client, operation)(_parse_reference(reference), **arguments))

    async def send(self, name: str, reference: str | None, values: Mapping[str, Any]) -> Sent:
        """Send a message."""
        to = None if reference is None else _parse_reference(reference)
        sent = await self._client.send(name, to=to, **values)
        return Sent(sent.id, sent.key, sent.workflow_id, sent.is_new)

    async def follow_events(self, query: EventConditions) -> AsyncIterator[HistoryEvent]:
        """Yield the events that match."""
        kind = list(query.kinds) or None
        async with self._client.follow_events(
            after=query.after, workflow_id=query.workflow_id, type=query.type, kind=kind
        ) as events:
            async for event in events:
                yield build_event(event)

    async def list_executors(self, *, limit: int) -> Sequence[ExecutorRecord]:
        """Return the executors."""
        return [build_executor(one) for one in await self._client.list_executors(limit=limit)]

    async def list_questions(self, request: InboxRequest) -> QuestionPage:
        """Return a page of the inbox."""
        page = await self._client.inbox.list_page(
            whose=request.whose.value,
            type=request.type,
            state=request.state,
            oldest_first=not request.by_deadline,
            limit=request.limit,
            cursor=request.cursor,
        )
        return QuestionPage(tuple(map(build_question, page.entries)), page.total, page.next_cursor)

    async def assign(self, reference: str, assignee: str | None, *, expected_version: int | None) -> Instance:
        """Assign the question of an instance."""
        after = await self._client.assign(_parse_reference(reference), assignee, expected_version=expected_version)
        return build_instance(after)

    async def list_audit(self, query: AuditQuery) -> Sequence[AuditRecord]:
        """Return a page of the audit."""
        found = await self._client.audit.list_page(
            person=query.person, action=query.action, before=query.before, limit=query.limit
        )
        return [build_audit_record(one) for one in found]

    async def list_definitions(self) -> Sequence[ListedDefinition]:
        """Return the definitions that the server has loaded."""
        return [summarize_definition(one) for one in await self._client.list_definitions()]

    async def draw_definition(self, name: str, form: str) -> tuple[int, str]:
        """Return the version of a definition that the server has loaded, and its diagram: "mermaid" or "svg"."""
        draw = self._client.get_svg if form == "svg" else self._client.get_mermaid
        return (await self._client.get_definition(name)).version, await draw(name)


def _parse_reference(text: str) -> Id:
    """Return what a person typed as the client takes it: an id as a number, an external id as a text."""
    number = parse_number(text)
    return number if number and str(number) == text else text


def _build_filter(query: SearchQuery) -> Filter:
    """Return the filters of a query that ``flowlet list`` has checked."""
    times = {name: getattr(query, name) for name in _TIME_FILTERS}
    filters: Filter = {
        "id": query.id,
        "prefix": query.prefix,
        "type": query.workflow_type,
        "status": query.statuses or None,
        "state": query.state,
        "key": query.business_key,
        "group": query.executor_group,
        "parent_id": query.parent_id,
        "is_retrying": query.is_retrying,
        "waits_for_version": query.waits_for_version,
        "fingerprint": query.fingerprint,
        "reason_contains": query.reason_contains,
        "vars": {one.name: one.value for one in query.variables} or None,
        **{name: to_datetime(at) for name, at in times.items() if at is not None},  # type: ignore[typeddict-item]  # names of the filters
    }
    if query.has_next:  # a list that is sorted by the next activation has only these; the API has the others last
        scheduled = [one for one in query.statuses or SCHEDULED_STATUSES if one in SCHEDULED_STATUSES]
        filters["next_activation_from"] = to_datetime(0)
        if scheduled:
            filters["status"] = scheduled
        else:
            filters["next_activation_to"] = to_datetime(0)
    return filters
