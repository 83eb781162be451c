"""The interface of a target: what a command operates on, a database or a server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, TypeAlias

from flowlet.accounts.audit import AuditRecord
from flowlet.cli.targets.people import PeopleTarget
from flowlet.instance.action import Action
from flowlet.instance.instance import Instance
from flowlet.instance.message import Sent
from flowlet.instance.new_instance import Created
from flowlet.operations.people.inbox import InboxRequest
from flowlet.operations.schedule_times import BackfillResult
from flowlet.store.executors import ExecutorRecord
from flowlet.store.history import HistoryEvent
from flowlet.store.limits.limits import LimitUse
from flowlet.store.limits.table import LaneKind, LanePause
from flowlet.store.people.audit import AuditQuery
from flowlet.store.reports.children import CountedChildren
from flowlet.store.schedules.table import ScheduleRecord
from flowlet.store.search.query import SearchQuery, SearchResult
from flowlet.workflow.schedule import Schedule

__all__ = [
    "EventConditions",
    "InstanceOperation",
    "LimitTarget",
    "ListedDefinition",
    "ListedQuestion",
    "QuestionPage",
    "ScheduleChange",
    "ScheduleTarget",
    "Target",
]

InstanceOperation: TypeAlias = Literal[
    "abort", "acknowledge", "answer", "cancel", "edit_variables", "move", "pause", "resume", "retry", "wake"
]
"""A method of ``Operations`` and of ``AsyncClient``, which take the same arguments after the instance."""
ScheduleChange: TypeAlias = Literal["pause", "resume"]
"""A method of ``ScheduleOperations`` and of ``AsyncSchedules``, likewise."""


@dataclass(frozen=True, slots=True)
class ListedDefinition:
    """A definition in a list.

    Attributes:
        version: Its newest version in the database, or the one that the server has loaded.
        group: The executor group of its instances by default.
        states: How many states it has.
    """

    name: str
    version: int
    start: str
    group: str
    priority: int
    states: int
    description: str


@dataclass(frozen=True, slots=True)
class EventConditions:
    """Which events to follow, all conditions joined by AND; None sets no condition.

    Attributes:
        workflow_id: The only instance.
        type: The only workflow.
        kinds: The kinds of lines; empty for all.
        after: The id of the line after which to begin; 0 for the first one of all, None for now.
    """

    workflow_id: int | None = None
    type: str | None = None
    kinds: tuple[str, ...] = ()
    after: int | None = None


@dataclass(frozen=True, slots=True)
class ListedQuestion:
    """An instance that waits for a person, in a list. Times are microseconds since 1970 UTC."""

    id: int
    external_id: str
    key: str
    type: str
    state: str
    version: int
    title: str | None
    summary: str | None
    since: int
    deadline: int | None
    teams: tuple[str, ...]
    assignee: str | None
    reminders: int
    escalated_to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QuestionPage:
    """A page of the inbox.

    Attributes:
        total: How many there are on all pages together, counted up to 10,001.
        next_cursor: The cursor of the next page; None on the last one.
    """

    questions: tuple[ListedQuestion, ...]
    total: int
    next_cursor: str | None


class LimitTarget(Protocol):
    """The limits and the lanes of a target. An operation that raises has changed nothing."""

    async def list_all(self) -> Sequence[LimitUse]:
        """Return every limit with what runs and waits, by workflow and state."""
        ...

    async def hold(self, workflow: str, state: str | None, *, reason: str) -> LimitUse:
        """Let no attempt begin; ``state`` is None for the limits of the whole workflow."""
        ...

    async def release(self, workflow: str, state: str | None, *, interval: str | None) -> LimitUse:
        """Let attempts begin again, one each ``interval``."""
        ...

    async def list_paused(self) -> Sequence[LanePause]:
        """Return the paused lanes: the groups, then the workflows, by name."""
        ...

    async def pause(self, kind: LaneKind, name: str, *, reason: str) -> LanePause:
        """Pause a lane."""
        ...

    async def resume(self, kind: LaneKind, name: str) -> LanePause:
        """End the pause of a lane, and return what it was."""
        ...


class ScheduleTarget(Protocol):
    """The schedules of a target. An operation that raises has changed nothing."""

    async def list_page(self, *, type: str | None, after: str) -> Sequence[ScheduleRecord]:
        """Return the schedules behind a name, by name, and not more than a page; empty at the end."""
        ...

    async def get(self, name: str) -> ScheduleRecord:
        """Return a schedule."""
        ...

    async def list_next_times(self, record: ScheduleRecord) -> Sequence[str]:
        """Return its next ten nominal times in its time zone, as if it were not paused."""
        ...

    async def preview(self, type: str, schedule: Schedule) -> Sequence[str]:
        """Return the next ten nominal times of a schedule that is not stored."""
        ...

    async def create(self, type: str, schedule: Schedule) -> None:
        """Create a schedule of a workflow."""
        ...

    async def change(self, operation: ScheduleChange, name: str, **arguments: Any) -> ScheduleRecord:
        """Pause or resume a schedule, and return it as it is afterwards."""
        ...

    async def delete(self, name: str, *, expected_version: int | None) -> None:
        """Delete a schedule."""
        ...

    async def fire(self, name: str, *, expected_version: int | None) -> Created:
        """Create an instance of a schedule now."""
        ...

    async def backfill(
        self, name: str, first: datetime, last: datetime, *, expected_version: int | None
    ) -> BackfillResult:
        """Create the instances of past times."""
        ...


class Target(Protocol):
    """A database, or a server. Both raise a ``FlowletError`` where an operation is not possible, and change nothing.

    A ``reference`` is what a person types: a number is an id, anything else an external id.
    """

    @property
    def limits(self) -> LimitTarget:
        """The limits and the lanes."""
        ...

    @property
    def schedules(self) -> ScheduleTarget:
        """The schedules."""
        ...

    @property
    def people(self) -> PeopleTarget:
        """The users, API keys, teams and saved views."""
        ...

    async def find(self, reference: str) -> Instance:
        """Return an instance."""
        ...

    async def count_children(self, instance: Instance) -> CountedChildren:
        """Return how many children an instance has."""
        ...

    async def explain_wait(self, instance: Instance) -> str | None:
        """Return what keeps a due instance from running, in one sentence; None for nothing."""
        ...

    async def read_history(self, id: int) -> Sequence[Action]:
        """Return the history of an instance, the oldest line first."""
        ...

    async def search(self, query: SearchQuery) -> SearchResult:
        """Return a page of instances."""
        ...

    async def create(self, type: str, values: Mapping[str, Any]) -> Created:
        """Create an instance of a workflow; ``values`` are further arguments of ``Operations.create``."""
        ...

    async def wait_for_end(
        self, created: Created, type: str, values: Mapping[str, Any], *, timeout_seconds: float
    ) -> Instance:
        """Return an instance that was created with these values when it has ended, or raise ``WaitTimeoutError``.

        One wait lasts an hour at most.
        """
        ...

    async def operate(self, operation: InstanceOperation, reference: str, **arguments: Any) -> Instance:
        """Run an operation on an instance, and return the instance as it is afterwards."""
        ...

    async def send(self, name: str, reference: str | None, values: Mapping[str, Any]) -> Sent:
        """Send a message to an instance, or to the one that has the business key in ``values``."""
        ...

    def follow_events(self, query: EventConditions) -> AsyncIterator[HistoryEvent]:
        """Yield the events that match, as they are written, until the iteration is closed."""
        ...

    async def list_executors(self, *, limit: int) -> Sequence[ExecutorRecord]:
        """Return the executors, the live ones first."""
        ...

    async def list_questions(self, request: InboxRequest) -> QuestionPage:
        """Return a page of the inbox, as the user of the target sees it."""
        ...

    async def assign(self, reference: str, assignee: str | None, *, expected_version: int | None) -> Instance:
        """Assign the question of an instance, or take the assignment back, and return the instance afterwards."""
        ...

    async def list_audit(self, query: AuditQuery) -> Sequence[AuditRecord]:
        """Return a page of the audit, the newest record first."""
        ...

    async def list_definitions(self) -> Sequence[ListedDefinition]:
        """Return the definitions by name."""
        ...
