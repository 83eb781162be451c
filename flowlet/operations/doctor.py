"""The doctor: checks a live database for violations of the guarantees, and changes nothing.

Every history is a path of its graph, nothing is stuck, and parents know their children: rules 4, 5 and 6 of
docs/explanation/guarantees.md. An instance is judged only if it did not change between two reads, so that work in
progress raises no false alarm.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from flowlet.clock import MICROSECONDS_PER_SECOND, to_microseconds
from flowlet.definition.definition import Definition
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import SCHEDULED_STATUSES, Status
from flowlet.instance.limit_gate import is_limit_gate
from flowlet.operations.lanes import describe_lane_pause
from flowlet.operations.row_counts import (
    check_children,
    check_entry,
    check_messages,
    check_progress,
)
from flowlet.operations.schedule_findings import find_unfired_schedules
from flowlet.operations.stuck_runs import describe_stuck_runs
from flowlet.operations.version_findings import describe_gated_group, describe_incompatible_instances, find_gated_groups
from flowlet.store.consistency import (
    InspectedInstance,
    PathEntry,
    inspect_instances,
    inspect_instances_after,
    read_paths,
)
from flowlet.store.executors import ExecutorRecord
from flowlet.store.opening import Store
from flowlet.store.retention.recount import find_wrong_counts

__all__ = [
    "CHILDREN",
    "COUNTERS",
    "GATED",
    "INBOX",
    "INCOMPATIBLE",
    "LANE",
    "LEASE",
    "MESSAGES",
    "PATH",
    "SCHEDULE",
    "STUCK",
    "UNSERVED",
    "Finding",
    "examine_store",
]

PATH = "path"
"""A history is not a path of its definition's graph, or does not end in the state of the instance."""
STUCK = "stuck"
"""Nothing will run the instance again, its attempt runs far too long, or its executor makes no progress."""
LEASE = "lease"
"""An instance is held by a dead executor, or is executing although no executor holds it."""
CHILDREN = "children"
"""A parent's count of open children is wrong, or the parent waits for children although none is open."""
MESSAGES = "messages"
"""An instance's count of unread messages is wrong, or it waits for a message that it has."""
INBOX = "inbox"
"""An instance waits for a person without an entry in the inbox, or has an entry and does not wait."""
COUNTERS = "counters"
"""The counters of ended instances differ from the rows that are there and those that were deleted."""
UNSERVED = "unserved"
"""A warning: instances are due, and no live executor claims them."""
GATED = "gated"
"""A warning: instances have waited for another version of their workflow for more than a minute."""
LANE = "lane"
"""A warning: a workflow or an executor group is paused."""
SCHEDULE = "schedule"
"""A warning: a schedule is late, or cannot create its instance."""
INCOMPATIBLE = "incompatible"
"""A warning: the given definitions could not run instances that have not ended."""

PAGE_SIZE = 500
"""How many instances are checked together; it bounds the memory of an examination."""
MAX_ROUNDS = 5
"""How often an instance is read that changes between the reads: one that changes every time is not stuck."""
TOLERANCE_MICROSECONDS = 60 * MICROSECONDS_PER_SECOND
"""How long after the end of a lease, or after a due time, there is a finding: repair and claims take a while."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A violation, or a warning, about one instance or about the first of many.

    Attributes:
        instance_id: The instance; for a schedule the one that it created last, or 0; for a lane 0.
        rule: One of "path", "stuck", "lease", "children", "messages", "inbox" and "counters"; for a warning of
            "unserved", "gated", "lane", "schedule" and "incompatible".
        message: What is wrong, and the cure where there is one.
    """

    instance_id: int
    rule: str
    message: str


async def examine_store(
    store: Store, *, max_claim_gap: timedelta = timedelta(hours=1), definitions: Iterable[Definition] = ()
) -> list[Finding]:
    """Return what is wrong with a database, by instance. The database may be in use.

    Args:
        store: The database.
        max_claim_gap: How long an executor that sends heartbeats may claim nothing: above its poll interval. One whose
            transitions wait for their commits counts as claiming nothing.
        definitions: The definitions that are compared with the instances that have not ended.

    Raises:
        StoreUnavailableError: If the database cannot be reached.
    """
    findings = await _Examination(store, to_microseconds(max_claim_gap)).run()
    wrong_counts = await find_wrong_counts(store.connections)
    findings += [Finding(id, STUCK, message) for id, message in await describe_stuck_runs(store)]
    findings += [Finding(0, LANE, f"{describe_lane_pause(one)}.") for one in await store.lane_pauses.list_all()]
    findings += [Finding(wrong.first_id, COUNTERS, wrong.describe()) for wrong in wrong_counts]
    for id, message in await describe_incompatible_instances(store, definitions):
        findings.append(Finding(id, INCOMPATIBLE, message))
    return sorted(findings, key=lambda finding: finding.instance_id)


@dataclass(slots=True)
class _HistoryPath:
    """The state in which a history ends, and the first fault in it."""

    state: str | None = None
    fault: str | None = None


class _Examination:
    """One examination of one database.

    Args:
        store: The database.
        max_claim_gap: How long an executor that sends heartbeats may claim nothing, in microseconds.
    """

    def __init__(self, store: Store, max_claim_gap: int) -> None:
        self._store = store
        self._max_claim_gap = max_claim_gap
        self._edges: dict[tuple[str, int], set[tuple[str, str]]] = {}
        self._has_read_edges = False
        self._unserved: dict[tuple[str, str], list[int]] = {}

    async def run(self) -> list[Finding]:
        """Return every finding."""
        findings: list[Finding] = []
        last = 0
        while page := await inspect_instances_after(self._store.connections, last, limit=PAGE_SIZE):
            findings += await self._examine_page(page)
            last = page[-1].id
        findings += await self._find_unserved()
        findings += await self._find_gated()
        findings += await self._find_unfired()
        return findings

    async def _examine_page(self, page: Sequence[InspectedInstance]) -> list[Finding]:
        """Return the findings about instances that do not change; the others are read again."""
        findings: list[Finding] = []
        moving = {instance.id: instance for instance in page}
        for _ in range(MAX_ROUNDS):
            if not moving:
                break
            found = await self._read_paths(moving)
            executors = {record.id: record for record in await self._store.executors.list_all(limit=10_000)}
            now = await self._store.read_clock()
            again = await inspect_instances(self._store.connections, list(moving))
            for instance in again.values():
                if _is_unchanged(moving[instance.id], instance):
                    findings += _check_instance(instance, found[instance.id], executors, now)
                    findings += _check_holder(instance, executors, self._max_claim_gap)
                    self._record_unserved(instance, executors, now)
            moving = {id: instance for id, instance in again.items() if not _is_unchanged(moving[id], instance)}
        return findings

    async def _read_paths(self, instances: Mapping[int, InspectedInstance]) -> dict[int, _HistoryPath]:
        """Return the paths of instances, read line by line."""
        self._has_read_edges = False
        found = {id: _HistoryPath() for id in instances}
        async for line in read_paths(self._store.connections, list(instances)):
            path = found[line.workflow_id]
            if path.fault is None:
                path.fault = await self._check_path_line(instances[line.workflow_id], path, line)
            path.state = line.to_state
        return found

    async def _check_path_line(self, instance: InspectedInstance, path: _HistoryPath, line: PathEntry) -> str | None:
        """Return the fault of a line of history that follows the path so far; None if it has none."""
        subject = f"line {line.id} of its history, {line.kind},"
        if path.state is None:
            return None if line.kind == ActionKind.CREATED else f"{subject} comes before the one of its creation"
        if line.kind == ActionKind.CREATED:
            return f"{subject} creates it a second time"
        if line.from_state != path.state:
            return f"{subject} leaves state {line.from_state!r}, but the instance was in {path.state!r}"
        version = line.version or instance.definition_version
        if line.kind == ActionKind.FORCED or await self._is_transition(instance.type, version, line):
            return None
        edge = f"from {line.from_state!r} to {line.to_state!r}"
        return f"{subject} goes {edge}, which is not a transition of {instance.type} version {version}"

    async def _is_transition(self, type: str, version: int, line: PathEntry) -> bool:
        """Return whether a line is an edge in a stored shape of its version. A version that is not stored permits any.

        An instance leaves a state that was renamed under the name by which it has entered it.
        An executor stores its definitions before it runs them: shapes read after a line know its edge.
        """
        edge = (line.from_state or "", line.to_state or "")
        if edge in self._edges.get((type, version), ()):
            return True
        if not self._has_read_edges:
            self._has_read_edges = True
            for key, shapes in (await self._store.definitions.read_documents()).items():
                self._edges[key] = {
                    (name, transition["target"])
                    for shape in shapes
                    for state in shape["states"]
                    for name in (state["name"], *state["renamedFrom"])
                    for transition in state["transitions"]
                }
        return edge in self._edges.get((type, version), {edge})

    def _record_unserved(self, instance: InspectedInstance, executors: Mapping[str, ExecutorRecord], now: int) -> None:
        is_queued = instance.status in SCHEDULED_STATUSES and (instance.gate is None or is_limit_gate(instance.gate))
        due = instance.next_activation if is_queued else None
        key = (instance.type, instance.executor_group)
        if due is None or due >= now - TOLERANCE_MICROSECONDS or _is_served(*key, executors.values(), now):
            return
        self._unserved.setdefault(key, [instance.id, 0])[1] += 1

    async def _find_unserved(self) -> list[Finding]:
        """Return one finding for each workflow that no executor claims now either."""
        now = await self._store.read_clock()
        executors = await self._store.executors.list_all(limit=10_000)
        return [
            Finding(
                first,
                UNSERVED,
                f"{count:,} of {type!r} in the executor group {group!r} {'has' if count == 1 else 'have'} been due for "
                f"more than {_format_seconds(TOLERANCE_MICROSECONDS)}, and no live executor of this group has loaded "
                f"this workflow; {first} is the first. Start one: flowlet serve.",
            )
            for (type, group), (first, count) in self._unserved.items()
            if not _is_served(type, group, executors, now)
        ]

    async def _list_serving_executors(self) -> list[ExecutorRecord]:
        now = await self._store.read_clock()
        return [record for record in await self._store.executors.list_all(limit=10_000) if _is_serving(record, now)]

    async def _find_unfired(self) -> list[Finding]:
        """Return one finding for each schedule that is late or cannot be fired."""
        found = await find_unfired_schedules(self._store, await self._list_serving_executors())
        return [Finding(id, SCHEDULE, message) for id, message in found]

    async def _find_gated(self) -> list[Finding]:
        """Return one finding for each gate and state in which instances wait for another version."""
        groups = await find_gated_groups(self._store)
        live = await self._list_serving_executors() if groups else []
        return [Finding(group.first_id, GATED, describe_gated_group(group, live)) for group in groups]


def _is_unchanged(before: InspectedInstance, after: InspectedInstance) -> bool:
    """Return whether an instance was neither moved, claimed, freed nor changed between two reads."""
    return (before.version, before.token, before.status) == (after.version, after.token, after.status)


def _check_instance(
    instance: InspectedInstance, path: _HistoryPath, executors: Mapping[str, ExecutorRecord], now: int
) -> Iterator[Finding]:
    judged = (
        (PATH, _check_path(instance, path)),
        (LEASE, _check_lease(instance, executors, now)),
        (STUCK, check_progress(instance)),
        (CHILDREN, check_children(instance)),
        (MESSAGES, check_messages(instance, now)),
        (INBOX, check_entry(instance)),
    )
    for rule, fault in judged:
        if fault is not None:
            where = f"{instance.type}, {instance.status} in state {instance.state!r}"
            yield Finding(instance.id, rule, f"{where}: {fault}.")


def _check_path(instance: InspectedInstance, path: _HistoryPath) -> str | None:
    if path.fault is not None:
        return path.fault
    if path.state is None:
        return "its history does not record its creation"
    return None if path.state == instance.state else f"its history ends in state {path.state!r}"


def _check_lease(instance: InspectedInstance, executors: Mapping[str, ExecutorRecord], now: int) -> str | None:
    holder = instance.executor_id
    if instance.status != Status.EXECUTING:
        return None if holder is None else f"the executor {holder!r} holds it, although it is not executing"
    if holder is None:
        return "no executor holds it, although it is executing"
    record = executors.get(holder)
    cure = "Any running executor frees it: flowlet serve"
    if record is None:
        return f"it is held by the executor {holder!r}, which is not on the list of executors. {cure}"
    if record.status == "STOPPED":
        return f"it is held by the executor {holder!r}, which has stopped. {cure}"
    overdue = now - record.lease_until
    if overdue > TOLERANCE_MICROSECONDS:
        return f"it is held by the executor {holder!r}, whose lease ran out {_format_seconds(overdue)} ago. {cure}"
    return None


def _check_holder(
    instance: InspectedInstance, executors: Mapping[str, ExecutorRecord], max_claim_gap: int
) -> Iterator[Finding]:
    """Yield a finding if the executor that holds an instance sends heartbeats and makes no progress."""
    record = executors.get(instance.executor_id or "")
    if instance.status != Status.EXECUTING or record is None or record.status != "RUNNING":
        return
    gap = record.beat - (record.claimed or record.started)
    if gap > max_claim_gap + TOLERANCE_MICROSECONDS:
        yield Finding(
            instance.id,
            STUCK,
            f"{instance.type}, executing in state {instance.state!r}: the executor {record.id!r}, which holds it, "
            f"sends heartbeats and has neither claimed nor committed for {_format_seconds(gap)}. Restart it.",
        )


def _format_seconds(microseconds: int) -> str:
    return f"{microseconds // MICROSECONDS_PER_SECOND:,} s"


def _is_served(type: str, group: str, executors: Iterable[ExecutorRecord], now: int) -> bool:
    """Return whether a live executor claims instances of this workflow in this group."""
    return any(_is_serving(record, now) and type in record.types and group in record.groups for record in executors)


def _is_serving(record: ExecutorRecord, now: int) -> bool:
    return record.status == "RUNNING" and record.lease_until >= now - TOLERANCE_MICROSECONDS
