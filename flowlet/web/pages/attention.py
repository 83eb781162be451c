"""What needs somebody's attention: found in the figures of the dashboard, the most urgent first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from flowlet.instances import Status
from flowlet.lettering import cleaned_line as cleaned
from flowlet.store.reports.activity import Queue, Upcoming
from flowlet.store.reports.errors import ErrorGroup
from flowlet.store.reports.executors import ExecutorReport

__all__ = ["SILENCE", "Concern", "concerns"]

LATELY = 3_600_000_000
"""For how long a lost executor that holds nothing any more is told of, in microseconds."""
SILENCE = 300_000_000
"""How far the last claim of an executor with free slots may at least be behind its last beat, in microseconds."""
PUNCTUAL = 1_000_000
"""How late what is due may be before it is asked who would run it, in microseconds: a claim takes a moment."""
TYPES_NAMED = 5
"""How many workflows are named in which people are waited for."""
QUEUED = (Status.NEW, Status.IN_PROGRESS)


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that somebody should look at.

    Attributes:
        tone: The colour of its badge.
        label: What its badge says.
        title: What it is about.
        address: Where one sees more.
        text: What is the matter, in one line.
        at: Since when, or when it was seen last; None where there is no such time.
    """

    tone: str
    label: str
    title: str
    address: str
    text: str
    at: int | None = None

    @property
    def key(self) -> str:
        """What tells it from the others, for the id of its row."""
        return f"{self.label} {self.address}"


def concerns(
    counts: Mapping[tuple[str, str], int],
    crew: Sequence[ExecutorReport],
    queues: Sequence[Queue],
    errors: Sequence[ErrorGroup],
    *,
    late: Sequence[Upcoming] = (),
    now: int,
    silence: int = SILENCE,
) -> list[Concern]:
    """Return what needs attention: what stands still, then what waits for people, then what failed.

    Args:
        counts: How many instances of each type have each status.
        crew: The executors.
        queues: What has a next activation.
        errors: The last errors, grouped.
        late: What has been due for the longest.
        now: In microseconds since 1970 UTC.
        silence: How far the last claim of an executor with free slots may be behind its last beat, in microseconds.
    """
    serving = [executor for executor in crew if executor.status == "RUNNING"]
    return [
        *_unserved(counts, serving, queues, now, is_draining=any(executor.is_live for executor in crew)),
        *_mismatched(serving, late, now),
        *_ailing(crew, now, silence),
        *_asking(counts),
        *map(_failed, errors),
    ]


def _unserved(
    counts: Mapping[tuple[str, str], int],
    serving: Sequence[ExecutorReport],
    queues: Sequence[Queue],
    now: int,
    *,
    is_draining: bool,
) -> Iterator[Concern]:
    """Yield what no live executor would run; one that drains claims nothing any more."""
    if not serving:
        queued = sum(count for (_, status), count in counts.items() if status in QUEUED)
        title = "Every executor drains" if is_draining else "No executor runs"
        if queued:
            yield Concern("err", "Stopped", title, "/executors", f"{queued:,} queued: start flowlet serve")
        return
    known, served = _types(serving), {group for one in serving for group in one.groups}
    for type in sorted({type for (type, status) in counts if status in QUEUED} - known):
        queued = sum(counts.get((type, status), 0) for status in QUEUED)
        text = f"{queued:,} queued, and no live executor has it loaded"
        yield Concern("warn", "Unserved", cleaned(type), _list(QUEUED, type=type), text)
    due = {queue.group: queue.earliest for queue in sorted(queues, key=lambda queue: -queue.earliest)}
    for group in sorted(due.keys() - served):
        if due[group] <= now:
            address, text = _list(QUEUED, group=group), "is due, and no live executor runs this group"
            yield Concern("warn", "Unserved", f"Group {cleaned(group)}", address, text, due[group])


def _mismatched(serving: Sequence[ExecutorReport], late: Sequence[Upcoming], now: int) -> Iterator[Concern]:
    """Yield what is due in a group that is served, of a type that is loaded, but by no executor both."""
    told, known = set(), _types(serving)
    for one in late:
        of_group, pair = [each for each in serving if one.group in each.groups], (one.group, one.type)
        is_told_or_served = one.type not in known or not of_group or one.type in _types(of_group)
        if is_told_or_served or pair in told or now - one.at < PUNCTUAL:
            continue
        told.add(pair)
        address = _list((*QUEUED, Status.WAITING), type=one.type, group=one.group)
        text = "is due, and no live executor of this group has it loaded"
        yield Concern("warn", "Unserved", cleaned(f"{one.type} in {one.group}"), address, text, one.at)


def _types(crew: Sequence[ExecutorReport]) -> set[str]:
    return {type for one in crew for type in one.types}


def _ailing(crew: Sequence[ExecutorReport], now: int, silence: int) -> Iterator[Concern]:
    """Yield the executors that have died, and those that beat on but ask for no work."""
    for one in crew:
        address = f"/executors#{quote(one.id)}"
        if one.status == "LOST" and (one.busy or now - one.beat < LATELY):
            held = f"it still holds {one.busy:,}" if one.busy else "what it held was freed"
            yield Concern("err", "Lost", cleaned(one.name), address, f"no heartbeat; {held}", one.beat)
        since = one.claimed or one.started
        if one.status == "RUNNING" and one.busy < one.slots and one.beat - since > silence:
            text = "beats, but has not asked for work since" if one.claimed else "beats, but has never asked for work"
            yield Concern("warn", "Blocked", cleaned(one.name), address, text, since)


def _failed(group: ErrorGroup) -> Concern:
    number = group.failed or group.count
    address = f"/workflows?{urlencode({'error': group.fingerprint})}"
    title = cleaned(f"{number:,} × {group.type}" if number > 1 else f"#{group.newest_id} {group.type}")
    text = cleaned(f"{group.state}: {group.message}" if group.message else group.state)
    tone, label = ("err", "Failed") if group.failed else ("warn", "Failing")
    return Concern(tone, label, title, address, text, group.last)


def _asking(counts: Mapping[tuple[str, str], int]) -> Iterator[Concern]:
    """Yield that people are waited for, and in which workflows the most."""
    waiting = [(count, type) for (type, status), count in counts.items() if status == Status.WAITING]
    if not waiting:
        return
    total, first = sum(count for count, _ in waiting), sorted(waiting, key=lambda one: (-one[0], one[1]))
    title = "1 waits for an answer" if total == 1 else f"{total:,} wait for an answer"
    text = ", ".join(f"{count:,} {type}" if len(waiting) > 1 else type for count, type in first[:TYPES_NAMED])
    yield Concern("warn", "Waiting", title, "/inbox", cleaned(text))


def _list(statuses: Sequence[Status], **fields: str) -> str:
    pairs = [*fields.items(), *(("status", status.value) for status in statuses)]
    return f"/workflows?{urlencode(pairs)}"
