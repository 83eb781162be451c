"""Admission: leases instances behind a limit, as many as have a free slot, in one transaction.

The row of the limit is locked, so that no two executors count the same slots as free; it is written where a cluster's
other nodes would not know of the lock. What is leased through a gate is counted in the index of gates: there is no
counter of running ones that a dead executor could leave too high.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from flowlet.instance.instance import Instance
from flowlet.instance.limit_gate import LimitGate, compute_end
from flowlet.store.columns import RowEncoder
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.executors import read_live_versions
from flowlet.store.gates.gate_queue import QueueFilter, QueuePart, lease_instances, lock_parts
from flowlet.store.limits.limits import LimitStore
from flowlet.store.limits.survey import (
    AdmissionRequest,
    Candidate,
    Survey,
    compute_allowance,
    count_running,
    count_use,
    is_probe_running,
    read_limit,
    resolve_limits,
    survey_scope,
)
from flowlet.store.limits.table import GATE, LimitRecord
from flowlet.store.tables import WORKFLOW

__all__ = ["Admission", "AdmissionStore"]

MAX_SCOPES = 1_000
PART_GATES = 32
"""How many gates have their shares reckoned at once: what one of them lacks is left to those behind them."""
MAX_PARTS = 64
"""How many lines one statement locks."""
MAX_VARS_VERSION = 2**31 - 1
_UPDATED = GATE.omit_columns("gate", "workflow_type", "state")
_UPDATE_ENCODER = RowEncoder((GATE["gate"], *_UPDATED))
_UPDATE = f"UPDATE {GATE} SET {', '.join(f'{one.name} = :{one.name}' for one in _UPDATED)} WHERE gate = :gate"


class Admission(NamedTuple):
    """The result of an admission.

    Attributes:
        instances: The instances that are leased.
        next_due: When more may be admitted; None if nothing is known to become due.
        is_blocked: Whether something is due that waits for a slot, or for a transaction of another executor.
        last_gate: The last gate that was looked at, for the next request.
    """

    instances: Sequence[Instance]
    next_due: int | None
    is_blocked: bool
    last_gate: str


class AdmissionStore:
    """Claims of instances behind limits.

    Args:
        connections: The database's.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def survey(self, request: AdmissionRequest) -> Survey:
        """Return which instances an executor could claim; nothing is written.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        return await self._connections.read(lambda session: survey_scope(session, request))

    async def admit(self, request: AdmissionRequest) -> Admission:
        """Lease due instances of one scope: of each key as many as have a free slot, the keys in turn.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        survey = await self.survey(request)
        if request.policy is not None and _is_outdated(survey, request.version):
            await LimitStore(self._connections).save_policies([request.policy])
            return Admission((), survey.next_due, is_blocked=True, last_gate=request.after)
        if not survey.candidates:
            return Admission((), survey.next_due, survey.is_blocked, survey.last_gate)
        return await self._connections.write(lambda session: _admit(session, request, survey))

    async def find_scopes(self, mark: str) -> list[str]:
        """Return the scopes of a workflow's gates that have instances: one probe of the index for each.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        return await self._connections.read(lambda session: _find_scopes(session, mark))


def _is_outdated(survey: Survey, version: int) -> bool:
    """Return whether the row was deleted, or a lower version has written it while no executor of this one lived."""
    return bool(survey.candidates) if survey.record is None else survey.record.version < version


async def _admit(session: DatabaseSession, request: AdmissionRequest, survey: Survey) -> Admission:
    stored = record = None
    if survey.record is not None:
        lock = session.dialect.expressions.skip_locked_sql
        stored = await read_limit(session, request.scope, lock=lock)
        if stored is None:
            return Admission((), survey.next_due, is_blocked=True, last_gate=request.after)
        record = await _begin_opening(session, await resolve_limits(session, stored, request), request.now)
        if compute_allowance(record, request.now) == 0 or await is_probe_running(session, record):
            return Admission((), survey.next_due, is_blocked=True, last_gate=request.after)
    ids = await _lock_candidates(session, request, survey.candidates, record)
    if not ids and not await _has_other_version(session, request):
        readable = replace(request, vars_version=MAX_VARS_VERSION, refused_ids=())
        ids = await _lock_candidates(session, readable, survey.candidates, record)
    leased = await lease_instances(session, ids, executor_id=request.executor_id, now=request.now)
    if stored is not None and record is not None:
        await _save(session, stored, record, request.now, ids)
    return Admission(leased, survey.next_due, survey.is_blocked or not ids, survey.last_gate)


async def _begin_opening(session: DatabaseSession, record: LimitRecord, now: int) -> LimitRecord:
    """Return the limit with when its opening ends: at the first admission it is known how many instances wait."""
    waiting = 0
    if record.opened_interval is not None and record.opened_until is None and record.held_at is None:
        _, waiting = await count_use(session, record.scope, now)
    return record.begin_opening(now, waiting) if record.held_at is None else record


async def _has_other_version(session: DatabaseSession, request: AdmissionRequest) -> bool:
    """Return whether a live executor has another version: else what cannot be run here goes behind a version gate.

    There it is shown as waiting for another version, and not as one that waits for a slot.
    """
    return any(version != request.version for version in await read_live_versions(session, request.type))


async def _lock_candidates(
    session: DatabaseSession, request: AdmissionRequest, candidates: Sequence[Candidate], record: LimitRecord | None
) -> list[int]:
    """Lock due instances and return their ids: of each gate an equal share, and no more than it has free slots."""
    allowance = None if record is None else compute_allowance(record, request.now)
    wanted = request.limit if allowance is None else min(request.limit, allowance)
    also = _build_filter(request)
    running = await count_running(session, [one.gate for one in candidates]) if record and record.capacity else {}
    ids: list[int] = []
    for first in range(0, len(candidates), PART_GATES):
        shares: dict[str, int] = {}
        for place, candidate in enumerate(candidates[first : first + PART_GATES], start=first):
            left = wanted - len(ids) - sum(shares.values())
            share = -(-left // (len(candidates) - place))
            if record is not None and record.capacity is not None:
                share = min(share, record.capacity - running.get(candidate.gate, 0))
            shares[candidate.gate] = max(share, 0)
        ids += await _lock_shares(session, request, candidates[first : first + PART_GATES], shares, also)
    return ids


async def _lock_shares(
    session: DatabaseSession,
    request: AdmissionRequest,
    candidates: Sequence[Candidate],
    shares: Mapping[str, int],
    also: QueueFilter,
) -> list[int]:
    """Lock due instances of some gates, at most each gate's share, the higher priorities first."""
    parts = [
        QueuePart(candidate.gate, line, shares[candidate.gate])
        for candidate in candidates
        for line, due in candidate.first_due.items()
        if due <= request.now and shares[candidate.gate]
    ]
    ids_by_gate: dict[str, list[int]] = {}
    for first in range(0, len(parts), MAX_PARTS):
        some = parts[first : first + MAX_PARTS]
        for part, locked in zip(some, await lock_parts(session, some, now=request.now, also=also), strict=True):
            ids_by_gate.setdefault(part.gate, []).extend(locked)
    return [id for gate, ids in ids_by_gate.items() for id in ids[: shares[gate]]]


def _build_filter(request: AdmissionRequest) -> QueueFilter:
    """Return the condition of what this executor can run: an instance that it would hand back is left to others."""
    groups, values = build_in_list("group", request.groups)
    sql = f"AND executor_group IN ({groups}) AND vars_version <= :vars_version"
    values["vars_version"] = request.vars_version
    if request.refused_ids:
        refused, more = build_in_list("refused", sorted(request.refused_ids))
        sql, values = f"{sql} AND id NOT IN ({refused})", {**values, **more}
    return QueueFilter(sql, values)


async def _save(
    session: DatabaseSession, stored: LimitRecord, record: LimitRecord, now: int, ids: Sequence[int]
) -> None:
    """Write what an admission changes in the row of the limit: tokens, the opening, and the instance that is tried."""
    record = record.take_tokens(len(ids), now).take_opened(len(ids), now)
    if ids and record.is_broken:
        record = replace(record, probe_id=ids[0])
    if ids and session.dialect.expressions.has_local_locks:  # of two nodes that count the same slots, one is refused
        record = replace(record, admissions=record.admissions + 1)
    if record != stored:
        await session.execute(_UPDATE, _UPDATE_ENCODER.encode_binds(record))


async def _find_scopes(session: DatabaseSession, mark: str) -> list[str]:
    sql = f"SELECT MIN(gate) FROM {WORKFLOW} WHERE gate > :last AND gate < :end"
    found: list[str] = []
    last = f"{mark}/"
    while len(found) < MAX_SCOPES:
        ((gate,),) = await session.fetch_rows(sql, {"last": last, "end": compute_end(mark)})
        if gate is None:
            break
        parsed = LimitGate.parse(gate)
        if parsed is not None:
            found.append(parsed.scope)
        last = gate if parsed is None else compute_end(parsed.scope)
    return found
