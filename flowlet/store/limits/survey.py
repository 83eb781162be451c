"""A look at the instances behind one limit: which keys have some that are due and a free slot. Nothing is locked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from flowlet.definition.limits.limit_policy import LimitPolicy
from flowlet.instance.limit_gate import compute_end
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.dialects.gate_lines import WAITING_STATUSES
from flowlet.store.executors import read_live_versions
from flowlet.store.gates.gate_queue import Line, find_next_due
from flowlet.store.limits.table import GATE, LIMIT_READER, TOKEN, LimitRecord
from flowlet.store.tables import WORKFLOW

__all__ = [
    "AdmissionRequest",
    "Candidate",
    "Survey",
    "compute_allowance",
    "count_running",
    "count_use",
    "is_probe_running",
    "read_limit",
    "resolve_limits",
    "survey_scope",
]

MAX_SURVEYED_GATES = 256
"""How many keys one survey looks at; the next one goes on behind them."""
PAGE_GATES = 32
"""How many keys one statement looks at; on MySQL, how many lines."""

GateLines = dict[str, dict[Line, int]]
"""When the first instance of each line is due, by gate."""


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """Which instances behind one limit an executor wants. Times in microseconds since 1970 UTC.

    Attributes:
        type: The name of the workflow.
        version: The version of the executor's definition of it.
        policy: The limits of the scope in that definition; None if it has none there.
        groups: The executor groups of the executor.
        limit: How many instances it wants at most.
        after: The gate behind which the survey begins: the keys take turns.
        vars_version: The highest version of variables that it can read.
        refused_ids: Instances that it has found it cannot run.
    """

    executor_id: str
    scope: str
    type: str
    version: int
    policy: LimitPolicy | None
    groups: Sequence[str]
    limit: int
    now: int
    after: str = ""
    vars_version: int = 0
    refused_ids: Collection[int] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A gate with something due and a free slot, and when the first instance of each of its lines is due."""

    gate: str
    first_due: Mapping[Line, int]


@dataclass(slots=True)
class Survey:
    """What a survey has found.

    Attributes:
        record: The stored limits; None if there are none.
        candidates: The gates from which instances can be claimed.
        next_due: When another survey may find more; None if nothing is known to become due.
        is_blocked: Whether something is due that waits for a slot.
        last_gate: The last gate that was looked at.
    """

    record: LimitRecord | None = None
    candidates: list[Candidate] = field(default_factory=list)
    next_due: int | None = None
    is_blocked: bool = False
    last_gate: str = ""

    def add_due(self, due: int | None) -> None:
        """Record that another survey may find more at a time; None for none."""
        if due is not None:
            self.next_due = due if self.next_due is None else min(self.next_due, due)


async def survey_scope(session: DatabaseSession, request: AdmissionRequest) -> Survey:
    """Return which instances of a scope an executor could claim now, beginning behind ``request.after``."""
    stored = await read_limit(session, request.scope)
    survey = Survey(stored)
    record = None if stored is None else await resolve_limits(session, stored, request)
    if record is not None and record.version > request.version and request.policy is None:
        return survey  # an executor that knows these limits admits their instances
    allowance = await _find_allowance(session, survey, record, request)
    wanted = request.limit if allowance is None else min(request.limit, allowance)
    seen = await _add_candidates(session, survey, record, request, wanted)
    if record is not None and allowance == 0 and seen:
        survey.candidates.clear()
        survey.last_gate = request.after  # it has not had its turn
        survey.add_due(_find_next_attempt(record, request.now))
    return survey


async def _find_allowance(
    session: DatabaseSession, survey: Survey, record: LimitRecord | None, request: AdmissionRequest
) -> int | None:
    """Return how many attempts may begin now, whatever their keys; None for any number."""
    if record is None:
        return None
    if record.is_broken and await is_probe_running(session, record):
        survey.is_blocked = True
        return 0
    return compute_allowance(record, request.now)


def _find_next_attempt(record: LimitRecord, now: int) -> int | None:
    """Return when a hold or a rate lets the next attempt begin, after ``now``; None if that is not known."""
    if record.held_by is not None:
        return None
    probe_due = record.probe_due or 0
    due = probe_due if probe_due > now else max(record.find_next_token(now), record.find_next_opened(now))
    return due if due > now else None


def compute_allowance(record: LimitRecord, now: int) -> int | None:
    """Return how many attempts may begin now; None for any number.

    It is the least that a hold, a breaker without a running probe, a rate and an opening let begin.
    """
    if record.held_by is not None:
        return 0
    tokens = record.count_tokens(now)
    counts = (None if tokens is None else tokens // TOKEN, record.count_opened(now))
    allowance = min((count for count in counts if count is not None), default=None)
    if record.probe_due is None:
        return allowance
    return 0 if record.probe_due > now or allowance == 0 else 1


async def _add_candidates(
    session: DatabaseSession, survey: Survey, record: LimitRecord | None, request: AdmissionRequest, wanted: int
) -> bool:
    """Add the gates with a free slot until they have as many as are wanted; return whether anything is due."""
    found, has_due = 0, False
    capacity = None if record is None else record.capacity
    looked_at = 0
    async for page in _walk_gates(session, request.scope, request.after):
        due = {gate: lines for gate, lines in page.items() if any(each <= request.now for each in lines.values())}
        running = {} if capacity is None or not due else await count_running(session, due)
        for gate, lines in page.items():
            survey.last_gate, looked_at = gate, looked_at + 1
            survey.add_due(find_next_due(lines, request.now))
            if gate not in due:
                continue
            has_due = True
            if capacity is not None and running.get(gate, 0) >= capacity:
                survey.is_blocked = True
                continue
            survey.candidates.append(Candidate(gate, lines))
            found += 1  # for certain: how many more of it are due is not counted
            if found >= wanted:
                return has_due
    survey.is_blocked |= looked_at >= MAX_SURVEYED_GATES  # there may be more
    return has_due


async def _walk_gates(session: DatabaseSession, scope: str, after: str) -> AsyncIterator[GateLines]:
    """Yield the gates of a scope that have instances, with their lines: those behind a given one, then the others."""
    first, end = f"{scope}/", compute_end(scope)
    last, comparison = (after, ">") if after else (first, ">=")
    is_wrapped, count = not after, 0
    while count < MAX_SURVEYED_GATES:
        page = await _read_lines(session, last, end, comparison)
        if page:
            is_done = is_wrapped and bool(after) and max(page) > after
            kept = {gate: lines for gate, lines in page.items() if not is_done or gate <= after}
            yield kept
            count += len(kept)
            last, comparison = max(page), ">"
            if is_done:
                return
        elif is_wrapped:
            return
        else:
            is_wrapped, last, comparison = True, first, ">="


async def _read_lines(session: DatabaseSession, last: str, end: str, comparison: str) -> GateLines:
    """Return the next gates, each with when the first instance of each of its lines is due."""
    sql = session.dialect.expressions.gate_lines_sql[comparison]
    rows = await session.fetch_rows(sql, {"last": last, "end": end, "limit": PAGE_GATES})
    found: GateLines = {}
    for gate, status, priority, due in rows:
        lines = found.setdefault(gate, {})
        if due is not None and status in WAITING_STATUSES:
            lines[Line(status, priority)] = int(due)
    if len(rows) == PAGE_GATES and len(found) > 1:
        del found[max(found)]  # on MySQL perhaps without some of its lines
    return {gate: dict(sorted(lines.items(), key=lambda one: -one[0].priority)) for gate, lines in found.items()}


async def read_limit(session: DatabaseSession, scope: str, *, lock: str = "") -> LimitRecord | None:
    """Return the limits of a scope; None if there are none, or another transaction has locked them."""
    sql = f"SELECT {LIMIT_READER.select_list} FROM {GATE} WHERE gate = :scope {lock}"
    found = LIMIT_READER.parse_all(await session.fetch_rows(sql, {"scope": scope}))
    return found[0] if found else None


async def count_running(session: DatabaseSession, gates: Collection[str]) -> dict[str, int]:
    """Return how many instances are leased that came through each of some gates: a range of the index for each."""
    expressions = session.dialect.expressions
    binds, values = build_in_list("gate", sorted(gates))
    sql = (
        f"SELECT gate, COUNT(*) FROM {expressions.gate_index_sql} "
        f"WHERE gate IN ({binds}) AND {expressions.gated_status_column} = 'EXECUTING' GROUP BY gate"
    )
    return {gate: int(count) for gate, count in await session.fetch_rows(sql, values)}


async def count_use(session: DatabaseSession, scope: str, now: int) -> tuple[int, int]:
    """Return how many instances run through a limit, and how many are due and wait: both are ranges of the index."""
    expressions = session.dialect.expressions
    status, due = expressions.gated_status_column, expressions.gated_due_column
    sql = (
        f"SELECT {status}, COUNT(*) FROM {expressions.gate_index_sql} WHERE gate >= :start AND gate < :end "
        f"AND ({status} = 'EXECUTING' OR ({status} IN ('NEW', 'IN_PROGRESS') AND {due} <= :now)) GROUP BY {status}"
    )
    values = {"start": f"{scope}/", "end": compute_end(scope), "now": now}
    counts = {name: int(count) for name, count in await session.fetch_rows(sql, values)}
    running = counts.pop("EXECUTING", 0)
    return running, sum(counts.values())


async def is_probe_running(session: DatabaseSession, record: LimitRecord) -> bool:
    """Return whether the instance that is tried after a breaker's pause is leased, and came through its limit."""
    if record.probe_id is None:
        return False
    sql = f"SELECT 1 FROM {WORKFLOW} WHERE id = :id AND status = 'EXECUTING' AND gate > :scope AND gate < :end"
    values = {"id": record.probe_id, "scope": record.scope, "end": compute_end(record.scope)}
    return bool(await session.fetch_rows(sql, values))


async def resolve_limits(session: DatabaseSession, stored: LimitRecord, request: AdmissionRequest) -> LimitRecord:
    """Return the limits that hold for an executor: those of its definition, unless a higher version's are stored.

    These hold as long as an executor of such a version lives: after a rollback they do not.
    """
    if stored.version > request.version:
        versions = await read_live_versions(session, request.type)
        if any(version >= stored.version for version in versions):
            return stored
    return _apply_policy(stored, request)


def _apply_policy(record: LimitRecord, request: AdmissionRequest) -> LimitRecord:
    """Return stored limits as the executor's definition has them. A breaker that it does not have holds nothing."""
    policy = request.policy
    changed = replace(
        record,
        version=request.version,
        capacity=policy.capacity if policy else None,
        key_variable=policy.key_variable if policy else None,
        rate_count=policy.rate_count if policy else None,
        rate_period=policy.rate_period if policy else None,
        breaker_count=policy.breaker_count if policy else None,
        breaker_pause=policy.breaker_pause if policy else None,
        breaker_interval=policy.breaker_interval if policy else None,
    )
    if changed.is_broken and changed.breaker_count is None:
        return replace(changed, held_at=None, held_reason=None, probe_id=None, failures=0)
    return changed
