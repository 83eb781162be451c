"""What needs somebody's attention: found in the figures of the dashboard, the most urgent first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from flowlet.diagram.text_metrics import clean_line as cleaned
from flowlet.instance.instance import Status
from flowlet.store.executors import ExecutorRecord
from flowlet.store.reports.activity import DueQueue, UpcomingInstance
from flowlet.store.reports.errors import ErrorGroup

__all__ = ["MAX_CLAIM_GAP_MICROSECONDS", "Alert", "find_alerts"]

LOST_EXECUTOR_SHOWN_MICROSECONDS = 3_600_000_000
"""For how long a lost executor that holds nothing any more is told of, in microseconds."""
MAX_CLAIM_GAP_MICROSECONDS = 300_000_000
"""How far the last claim of an executor with free slots may at least be behind its last beat, in microseconds."""
LATE_TOLERANCE_MICROSECONDS = 1_000_000
"""How late what is due may be before it is asked who would run it, in microseconds: a claim takes a moment."""
MAX_TYPES_NAMED = 5
"""How many workflows are named in which people are waited for."""
QUEUED_STATUSES = (Status.NEW, Status.IN_PROGRESS)


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that somebody should look at.

    Attributes:
        tone: The colour of its badge.
        label: What its badge says.
        title: What it is about.
        url: Where one sees more.
        text: What is the matter, in one line.
        at: Since when, or when it was seen last; None where there is no such time.
    """

    tone: str
    label: str
    title: str
    url: str
    text: str
    at: int | None = None

    @property
    def key(self) -> str:
        """What tells it from the others, for the id of its row."""
        return f"{self.label} {self.url}"


def find_alerts(
    counts: Mapping[tuple[str, str], int],
    executor_reports: Sequence[ExecutorRecord],
    queues: Sequence[DueQueue],
    errors: Sequence[ErrorGroup],
    *,
    late: Sequence[UpcomingInstance] = (),
    now: int,
    max_claim_gap_microseconds: int = MAX_CLAIM_GAP_MICROSECONDS,
) -> list[Alert]:
    """Return what needs attention: what stands still, then what waits for people, then what failed.

    Args:
        counts: How many instances of each type have each status.
        executor_reports: The executors.
        queues: What has a next activation.
        errors: The last errors, grouped.
        late: What has been due for the longest.
        now: In microseconds since 1970 UTC.
        max_claim_gap_microseconds: How far the last claim of an executor with free slots may be behind its last beat, in microseconds.
    """
    serving = [executor for executor in executor_reports if executor.status == "RUNNING"]
    return [
        *_find_unserved_work(
            counts, serving, queues, now, is_draining=any(executor.is_live for executor in executor_reports)
        ),
        *_find_mismatched_work(serving, late, now),
        *_find_unhealthy_executors(executor_reports, now, max_claim_gap_microseconds),
        *_find_waiting_types(counts),
        *map(_describe_error_group, errors),
    ]


def _find_unserved_work(
    counts: Mapping[tuple[str, str], int],
    serving: Sequence[ExecutorRecord],
    queues: Sequence[DueQueue],
    now: int,
    *,
    is_draining: bool,
) -> Iterator[Alert]:
    """Yield what no live executor would run; one that drains claims nothing any more."""
    if not serving:
        queued = sum(count for (_, status), count in counts.items() if status in QUEUED_STATUSES)
        title = "Every executor drains" if is_draining else "No executor runs"
        if queued:
            yield Alert("err", "Stopped", title, "/executors", f"{queued:,} queued: start flowlet serve")
        return
    known, served = _list_types(serving), {group for one in serving for group in one.groups}
    for type in sorted({type for (type, status) in counts if status in QUEUED_STATUSES} - known):
        queued = sum(counts.get((type, status), 0) for status in QUEUED_STATUSES)
        text = f"{queued:,} queued, and no live executor has it loaded"
        yield Alert("warn", "Unserved", cleaned(type), _build_filter_url(QUEUED_STATUSES, type=type), text)
    due = {queue.group: queue.earliest_due for queue in sorted(queues, key=lambda queue: -queue.earliest_due)}
    for group in sorted(due.keys() - served):
        if due[group] <= now:
            address, text = (
                _build_filter_url(QUEUED_STATUSES, group=group),
                "is due, and no live executor runs this group",
            )
            yield Alert("warn", "Unserved", f"Group {cleaned(group)}", address, text, due[group])


def _find_mismatched_work(
    serving: Sequence[ExecutorRecord], late: Sequence[UpcomingInstance], now: int
) -> Iterator[Alert]:
    """Yield what is due in a group that is served, of a type that is loaded, but by no executor both."""
    told, known = set(), _list_types(serving)
    for one in late:
        of_group, pair = [each for each in serving if one.group in each.groups], (one.group, one.type)
        is_told_or_served = one.type not in known or not of_group or one.type in _list_types(of_group)
        if is_told_or_served or pair in told or now - one.at < LATE_TOLERANCE_MICROSECONDS:
            continue
        told.add(pair)
        address = _build_filter_url((*QUEUED_STATUSES, Status.WAITING), type=one.type, group=one.group)
        text = "is due, and no live executor of this group has it loaded"
        yield Alert("warn", "Unserved", cleaned(f"{one.type} in {one.group}"), address, text, one.at)


def _list_types(executor_reports: Sequence[ExecutorRecord]) -> set[str]:
    return {type for one in executor_reports for type in one.types}


def _find_unhealthy_executors(
    executor_reports: Sequence[ExecutorRecord], now: int, max_claim_gap_microseconds: int
) -> Iterator[Alert]:
    """Yield the executors that have died, and those that beat on but ask for no work."""
    for one in executor_reports:
        address = f"/executors#{quote(one.id)}"
        if one.status == "LOST" and (one.busy or now - one.beat < LOST_EXECUTOR_SHOWN_MICROSECONDS):
            held = f"it still holds {one.busy:,}" if one.busy else "what it held was freed"
            yield Alert("err", "Lost", cleaned(one.name), address, f"no heartbeat; {held}", one.beat)
        since = one.claimed or one.started
        if one.status == "RUNNING" and one.busy < one.slots and one.beat - since > max_claim_gap_microseconds:
            text = "beats, but has not asked for work since" if one.claimed else "beats, but has never asked for work"
            yield Alert("warn", "Blocked", cleaned(one.name), address, text, since)


def _describe_error_group(group: ErrorGroup) -> Alert:
    number = group.failed or group.count
    address = f"/workflows?{urlencode({'error': group.fingerprint})}"
    title = cleaned(f"{number:,} × {group.type}" if number > 1 else f"#{group.newest_id} {group.type}")
    text = cleaned(f"{group.state}: {group.message}" if group.message else group.state)
    tone, label = ("err", "Failed") if group.failed else ("warn", "Failing")
    return Alert(tone, label, title, address, text, group.last)


def _find_waiting_types(counts: Mapping[tuple[str, str], int]) -> Iterator[Alert]:
    """Yield that people are waited for, and in which workflows the most."""
    waiting = [(count, type) for (type, status), count in counts.items() if status == Status.WAITING]
    if not waiting:
        return
    total, first = sum(count for count, _ in waiting), sorted(waiting, key=lambda one: (-one[0], one[1]))
    title = "1 waits for an answer" if total == 1 else f"{total:,} wait for an answer"
    text = ", ".join(f"{count:,} {type}" if len(waiting) > 1 else type for count, type in first[:MAX_TYPES_NAMED])
    yield Alert("warn", "Waiting", title, "/inbox", cleaned(text))


def _build_filter_url(statuses: Sequence[Status], **fields: str) -> str:
    pairs = [*fields.items(), *(("status", status.value) for status in statuses)]
    return f"/workflows?{urlencode(pairs)}"
