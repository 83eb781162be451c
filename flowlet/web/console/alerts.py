"""Alerts: what needs a user's attention according to the dashboard's figures, the most urgent first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import quote, urlencode

from flowlet.diagram.text_metrics import clean_line as cleaned
from flowlet.instance.instance import Status
from flowlet.operations.schedule_findings import describe_troubled_schedule
from flowlet.operations.stuck_runs import StuckRun
from flowlet.store.executors import ExecutorRecord
from flowlet.store.limits.limits import LimitUse
from flowlet.store.limits.table import LaneKind, LanePause
from flowlet.store.reports.activity import DueQueue, UpcomingInstance
from flowlet.store.reports.errors import ErrorGroup
from flowlet.store.schedules.table import ScheduleRecord
from flowlet.store.search.query import MAX_COUNTED

__all__ = ["MAX_CLAIM_GAP_MICROSECONDS", "Alert", "find_alerts"]

LOST_EXECUTOR_SHOWN_MICROSECONDS = 3_600_000_000
"""How long a lost executor that holds no work is reported, in microseconds."""
MAX_CLAIM_GAP_MICROSECONDS = 300_000_000
"""The tolerated gap, in microseconds, between the last claim and the last heartbeat of an executor with free slots."""
LATE_TOLERANCE_MICROSECONDS = 1_000_000
"""How late due work may be before it is reported as unserved, in microseconds: a claim takes a moment."""
MAX_TYPES_NAMED = 5
"""How many types of waiting workflows are named."""
QUEUED_STATUSES = (Status.NEW, Status.IN_PROGRESS)


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that needs a user's attention.

    Attributes:
        tone: The colour of its badge.
        label: The text of its badge.
        title: Its subject.
        url: The page with details.
        text: The problem, in one line.
        at: Since when it is so; None if there is no such time.
    """

    tone: str
    label: str
    title: str
    url: str
    text: str
    at: int | None = None

    @property
    def key(self) -> str:
        """What distinguishes it from other alerts, for the id of its row."""
        return f"{self.label} {self.url}"


def find_alerts(
    counts: Mapping[tuple[str, str], int],
    executor_reports: Sequence[ExecutorRecord],
    queues: Sequence[DueQueue],
    errors: Sequence[ErrorGroup],
    *,
    late: Sequence[UpcomingInstance] = (),
    gated: Mapping[str, int] = MappingProxyType({}),
    asking: Mapping[str, int] = MappingProxyType({}),
    schedules: Sequence[ScheduleRecord] = (),
    stuck: Sequence[StuckRun] = (),
    held_limits: Sequence[LimitUse] = (),
    paused_lanes: Sequence[LanePause] = (),
    now: int,
    max_claim_gap_microseconds: int = MAX_CLAIM_GAP_MICROSECONDS,
) -> list[Alert]:
    """Return the alerts in the order of harm.

    First work that does not run or does not get on, then what has failed, the most workflows first, then what waits
    for another version or a schedule, then what will be retried, and at last workflows waiting for a decision.

    Args:
        counts: The number of instances by type and status.
        executor_reports: The executors.
        queues: The instances with a next activation, by group.
        errors: The latest errors, grouped.
        late: The instances that have been due the longest.
        gated: The number of instances of each type that wait for another version of their workflow.
        asking: The number of instances of each type that wait for a decision, as ``count_asking`` gives it.
        schedules: The schedules that are late, cannot be fired, or have been paused for long.
        stuck: The attempts that do not get on, the longest running first.
        held_limits: The limits that a user or a breaker holds.
        paused_lanes: The workflows and groups that are paused.
        now: In microseconds since 1970 UTC.
        max_claim_gap_microseconds: The tolerated gap between the last claim and the last heartbeat of an executor with
            free slots, in microseconds.
    """
    serving = [executor for executor in executor_reports if executor.status == "RUNNING"]
    by_harm = sorted(errors, key=lambda group: (-group.failed, -group.count))
    return [
        *_find_unserved_work(
            counts, serving, queues, now, is_draining=any(executor.is_live for executor in executor_reports)
        ),
        *_find_mismatched_work(serving, late, now),
        *_find_unhealthy_executors(executor_reports, now, max_claim_gap_microseconds),
        *_find_stuck_work(stuck),
        *(_describe_error_group(group) for group in by_harm if group.failed),
        *_find_gated_work(gated),
        *(_describe_schedule(one, serving) for one in schedules),
        *(_describe_error_group(group) for group in by_harm if not group.failed),
        *map(_describe_paused_lane, paused_lanes),
        *map(_describe_held_limit, held_limits),
        *_find_asking_types(asking),
    ]


def _find_unserved_work(
    counts: Mapping[tuple[str, str], int],
    serving: Sequence[ExecutorRecord],
    queues: Sequence[DueQueue],
    now: int,
    *,
    is_draining: bool,
) -> Iterator[Alert]:
    """Yield work that no live executor would run; a draining executor claims no more work."""
    if not serving:
        queued = sum(count for (_, status), count in counts.items() if status in QUEUED_STATUSES)
        title = "All executors are draining" if is_draining else "No executor is running"
        if queued:
            yield Alert("err", "Stopped", title, "/executors", f"{queued:,} queued; start one with flowlet serve")
        return
    known, served = _list_types(serving), {group for one in serving for group in one.groups}
    for type in sorted({type for (type, status) in counts if status in QUEUED_STATUSES} - known):
        queued = sum(counts.get((type, status), 0) for status in QUEUED_STATUSES)
        text = f"{queued:,} queued, but no live executor has loaded this workflow"
        yield Alert("warn", "Unserved", cleaned(type), _build_filter_url(QUEUED_STATUSES, type=type), text)
    due = {queue.group: queue.earliest_due for queue in sorted(queues, key=lambda queue: -queue.earliest_due)}
    for group in sorted(due.keys() - served):
        if due[group] <= now:
            address, text = (
                _build_filter_url(QUEUED_STATUSES, group=group),
                "work is due, but no live executor serves this group",
            )
            yield Alert("warn", "Unserved", f"Group {cleaned(group)}", address, text, due[group])


def _find_mismatched_work(
    serving: Sequence[ExecutorRecord], late: Sequence[UpcomingInstance], now: int
) -> Iterator[Alert]:
    """Yield due work whose group is served and whose type is loaded, but not by the same executor."""
    reported, known = set(), _list_types(serving)
    for one in late:
        of_group, pair = [each for each in serving if one.group in each.groups], (one.group, one.type)
        is_served_or_reported = one.type not in known or not of_group or one.type in _list_types(of_group)
        if is_served_or_reported or pair in reported or now - one.at < LATE_TOLERANCE_MICROSECONDS:
            continue
        reported.add(pair)
        address = _build_filter_url((*QUEUED_STATUSES, Status.WAITING), type=one.type, group=one.group)
        text = "work is due, but no live executor of this group has loaded this workflow"
        yield Alert("warn", "Unserved", cleaned(f"{one.type} in {one.group}"), address, text, one.at)


def _find_stuck_work(stuck: Sequence[StuckRun]) -> Iterator[Alert]:
    """Yield an alert for each state in which attempts do not get on; a single one leads to its page."""
    by_state: dict[tuple[str, str], list[StuckRun]] = {}
    for run in stuck:
        by_state.setdefault((run.instance.type, run.instance.state), []).append(run)
    for (type, state), runs in by_state.items():
        first = runs[0]
        address = _build_filter_url([Status.EXECUTING], type=type, state=state)
        title, url = (
            (f"{len(runs):,} × {type}", address)
            if len(runs) > 1
            else (f"#{first.instance.id} {type}", f"/workflows/{first.instance.id}")
        )
        text = f"{state}: {'they run' if len(runs) > 1 else 'it runs'} too long: {first.reason}; abort and retry"
        yield Alert("err", "Stuck", cleaned(title), url, cleaned(text), first.instance.since)


def _find_gated_work(gated: Mapping[str, int]) -> Iterator[Alert]:
    """Yield an alert for each type whose instances wait for another version, the most first."""
    for type, count in sorted(gated.items(), key=lambda one: (-one[1], one[0])):
        address = f"/workflows?{urlencode({'type': type, 'gated': 'true'})}"
        text = f"{count:,} {'waits' if count == 1 else 'wait'} for another version: deploy one that can run them"
        yield Alert("warn", "Version", cleaned(type), address, text)


def _describe_schedule(record: ScheduleRecord, serving: Sequence[ExecutorRecord]) -> Alert:
    tone, label = ("warn", "Paused") if record.paused is not None else ("err", "Schedule")
    at = record.paused if record.paused is not None else record.next_time
    text = cleaned(describe_troubled_schedule(record, serving))
    return Alert(tone, label, cleaned(record.name), f"/schedules/{record.id}", text, at)


def _describe_held_limit(use: LimitUse) -> Alert:
    record = use.record
    by = "its breaker" if record.held_by is None else record.held_by
    text = cleaned(f"held by {by}, {use.waiting:,} waiting: {record.held_reason}")
    title = cleaned(f"{record.type} {record.state or ''}")
    return Alert("warn", "Limit", title, f"/definitions/{quote(record.type, safe='')}#limits", text, record.held_at)


def _describe_paused_lane(pause: LanePause) -> Alert:
    is_workflow = pause.kind is LaneKind.WORKFLOW
    url = f"/definitions/{quote(pause.name, safe='')}" if is_workflow else "/executors#lanes"
    title = cleaned(pause.name if is_workflow else f"Group {pause.name}")
    return Alert("warn", "Paused", title, url, cleaned(f"paused by {pause.paused_by}: {pause.reason}"), pause.paused_at)


def _list_types(executor_reports: Sequence[ExecutorRecord]) -> set[str]:
    return {type for one in executor_reports for type in one.types}


def _find_unhealthy_executors(
    executor_reports: Sequence[ExecutorRecord], now: int, max_claim_gap_microseconds: int
) -> Iterator[Alert]:
    """Yield the lost executors, and those that send heartbeats but claim no work."""
    for one in executor_reports:
        address = f"/executors#{quote(one.id)}"
        if one.status == "LOST" and (one.busy or now - one.beat < LOST_EXECUTOR_SHOWN_MICROSECONDS):
            held = f"it still holds {one.busy:,}" if one.busy else "its work was released"
            yield Alert("err", "Lost", cleaned(one.name), address, f"no heartbeat; {held}", one.beat)
        since = one.claimed or one.started
        if one.status == "RUNNING" and one.beat - since > max_claim_gap_microseconds:
            text = f"sends heartbeats, but has {'claimed no work since' if one.claimed else 'never claimed work'}"
            yield Alert("warn", "Blocked", cleaned(one.name), address, text, since)


def _describe_error_group(group: ErrorGroup) -> Alert:
    number = group.failed or group.count
    address = f"/workflows?{urlencode({'error': group.fingerprint})}"
    title = cleaned(
        f"{number:,}{'+' if group.is_at_least else ''} × {group.type}"
        if number > 1
        else f"#{group.newest_id} {group.type}"
    )
    text = cleaned(f"{group.state}: {group.message}" if group.message else group.state)
    tone, label = ("err", "Failed") if group.failed else ("warn", "Failing")
    return Alert(tone, label, title, address, text, group.first)


def _find_asking_types(asking: Mapping[str, int]) -> Iterator[Alert]:
    """Yield an alert about workflows waiting for a decision, with the most frequent types."""
    if not asking:
        return
    total, first = sum(asking.values()), sorted(asking.items(), key=lambda one: (-one[1], one[0]))
    title = f"{min(total, MAX_COUNTED):,}{'+' if total > MAX_COUNTED else ''} waiting for a decision"
    text = ", ".join(f"{count:,} {type}" if len(asking) > 1 else type for type, count in first[:MAX_TYPES_NAMED])
    yield Alert("warn", "Waiting", title, "/inbox", cleaned(text))


def _build_filter_url(statuses: Sequence[Status], **fields: str) -> str:
    pairs = [*fields.items(), *(("status", status.value) for status in statuses)]
    return f"/workflows?{urlencode(pairs)}"
