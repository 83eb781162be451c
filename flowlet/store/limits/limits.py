"""The limits: stored from definitions, listed with what runs and waits, held and released by people."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from flowlet.accounts.audit import AuditAction, AuditEntry
from flowlet.definition.limits.limit_policy import LimitPolicy
from flowlet.errors import UnknownLimitError
from flowlet.instance.limit_gate import build_scope
from flowlet.store.commits import Commit
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession
from flowlet.store.definitions import save_concurrently
from flowlet.store.limits.survey import count_running, count_use, read_limit
from flowlet.store.limits.table import GATE, LIMIT_ENCODER, LIMIT_READER, LimitRecord
from flowlet.store.people.audit import write_audit

__all__ = ["LimitStore", "LimitUse"]

MAX_LISTED = 1_000
_POLICY_NAMES = (
    *("capacity", "key_variable", "rate_count", "rate_period"),
    *("breaker_count", "breaker_pause", "breaker_interval"),
)
_UPDATE = f"UPDATE {GATE} SET {{}} WHERE gate = :gate"
_OPEN = "probe_id = NULL, opened_interval = :opened_interval, opened_due = NULL, opened_until = NULL"
_HOLD = _UPDATE.format(f"held = :held, held_by = :held_by, held_reason = :held_reason, {_OPEN}")
_RELEASE = _UPDATE.format(f"held = NULL, held_by = NULL, held_reason = NULL, failures = 0, {_OPEN}")


@dataclass(frozen=True, slots=True)
class LimitUse:
    """A limit, how many instances run through it, and how many are due and wait behind it."""

    record: LimitRecord
    running: int
    waiting: int


class LimitStore:
    """The table of limits. One method is one transaction.

    Args:
        connections: The database's.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def save_policies(self, policies: Iterable[LimitPolicy]) -> None:
        """Store the limits of definitions; those that a higher version has stored stay as they are.

        Repeated if another executor stores the same ones at the same time.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        given = sorted(policies, key=lambda policy: policy.scope)

        async def save(session: DatabaseSession) -> None:
            for policy in given:
                await _save_policy(session, policy)

        if given:
            await save_concurrently(self._connections, save)

    async def list_all(self, *, now: int, type: str | None = None, is_held: bool = False) -> list[LimitUse]:
        """Return limits with what runs and waits, by workflow and state; at most 1,000.

        Args:
            now: The store's time, in microseconds since 1970 UTC.
            type: The workflow; None for all.
            is_held: Whether only those that a user or a breaker holds.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """

        async def read(session: DatabaseSession) -> list[LimitUse]:
            where = ["held IS NOT NULL"] if is_held else []
            where += ["workflow_type = :type"] if type is not None else []
            values = {} if type is None else {"type": type}
            tail = f"{'WHERE ' if where else ''}{' AND '.join(where)} ORDER BY workflow_type, state LIMIT {MAX_LISTED}"
            sql = f"SELECT {LIMIT_READER.select_list} FROM {GATE} {tail}"
            records = LIMIT_READER.parse_all(await session.fetch_rows(sql, values))
            return [await _read_use(session, record, now) for record in records]

        return await self._connections.read(read)

    async def get_use(self, type: str, state: str | None, *, now: int) -> LimitUse:
        """Return one limit with what runs and waits.

        Raises:
            UnknownLimitError: If the state, or the whole workflow if that is None, has no limits.
            StoreUnavailableError: If the database is unavailable.
        """

        async def read(session: DatabaseSession) -> LimitUse:
            return await _read_use(session, await _get_limit(session, type, state), now)

        return await self._connections.read(read)

    async def find_use(self, scope: str, *, now: int) -> LimitUse | None:
        """Return the limit of a scope with what runs and waits; None if there is none.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """

        async def read(session: DatabaseSession) -> LimitUse | None:
            record = await read_limit(session, scope)
            return None if record is None else await _read_use(session, record, now)

        return await self._connections.read(read)

    async def count_running(self, gate: str) -> int:
        """Return how many instances are leased that came through a gate.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        counts = await self._connections.read(lambda session: count_running(session, [gate]))
        return counts.get(gate, 0)

    async def hold(
        self,
        type: str,
        state: str | None,
        *,
        now: int,
        username: str,
        reason: str,
        check: Callable[[LimitRecord], None],
    ) -> LimitRecord:
        """Let no attempt begin until the limit is released; what runs goes on. A breaker's hold becomes the user's.

        ``check`` gets the locked row, and raises what refuses the hold.

        Raises:
            UnknownLimitError: If the state, or the whole workflow if that is None, has no limits.
            StoreUnavailableError: If the database is unavailable.
        """

        async def write(session: DatabaseSession) -> LimitRecord:
            lock = session.dialect.expressions.for_update_sql
            record = await _get_limit(session, type, state, lock=lock)
            check(record)
            held = replace(record, held_at=now, held_by=username, held_reason=reason, probe_id=None)
            values = {"gate": record.scope, "held": now, "held_by": username, "held_reason": reason}
            await session.execute(_HOLD, {**values, "opened_interval": None})
            await write_audit(session, [AuditEntry(username, AuditAction.LIMIT_HELD, type, state)], now=now)
            return held

        return await self._connections.write(write)

    async def release(
        self,
        type: str,
        state: str | None,
        *,
        now: int,
        username: str,
        interval: int | None,
        check: Callable[[LimitRecord], None],
    ) -> LimitRecord:
        """End a hold, of a user or of the breaker, and count its failures anew.

        ``interval`` is how long after one attempt the next one begins then, in microseconds; None for the interval of
        the breaker, or all at once. ``check`` gets the locked row, and raises what refuses the release.

        Raises:
            UnknownLimitError: If the state, or the whole workflow if that is None, has no limits.
            StoreUnavailableError: If the database is unavailable.
        """

        async def write(session: DatabaseSession) -> LimitRecord:
            lock = session.dialect.expressions.for_update_sql
            record = await _get_limit(session, type, state, lock=lock)
            check(record)
            await write_audit(session, [AuditEntry(username, AuditAction.LIMIT_RELEASED, type, state)], now=now)
            opened = record.breaker_interval if interval is None else interval
            await session.execute(_RELEASE, {"gate": record.scope, "opened_interval": opened})
            session.pending_commit = Commit(instances=())  # instances of any group may be admitted now
            return replace(record, held_at=None, held_by=None, held_reason=None, probe_id=None, failures=0)

        return await self._connections.write(write)


async def _save_policy(session: DatabaseSession, policy: LimitPolicy) -> None:
    lock = session.dialect.expressions.for_update_sql
    known = await read_limit(session, policy.scope, lock=lock)
    if known is None:
        await session.insert_many(GATE, GATE.columns, [LIMIT_ENCODER.encode(_build_record(policy))])
        return
    values: dict[str, Any] = {name: getattr(policy, name) for name in _POLICY_NAMES}
    values |= {"definition_version": policy.version}
    is_same = all(getattr(known, name) == getattr(policy, name) for name in (*_POLICY_NAMES, "version"))
    if known.version <= policy.version and not is_same:
        if known.is_broken and policy.breaker is None:  # nothing would close it any more
            values |= {"held": None, "held_reason": None, "probe_id": None, "failures": 0}
        assignments = ", ".join(f"{name} = :{name}" for name in values)
        await session.execute(_UPDATE.format(assignments), {**values, "gate": policy.scope})


def _build_record(policy: LimitPolicy) -> LimitRecord:
    """Return the row of limits that nothing has run through yet; a rate has all its tokens then."""
    return LimitRecord(
        scope=policy.scope,
        type=policy.type,
        state=policy.state,
        capacity=policy.capacity,
        key_variable=policy.key_variable,
        rate_count=policy.rate_count,
        rate_period=policy.rate_period,
        breaker_count=policy.breaker_count,
        breaker_pause=policy.breaker_pause,
        breaker_interval=policy.breaker_interval,
        tokens=0,
        refilled=0,
        failures=0,
        held_at=None,
        held_by=None,
        held_reason=None,
        probe_id=None,
        opened_interval=None,
        opened_due=None,
        opened_until=None,
        admissions=0,
        version=policy.version,
    )


async def _get_limit(session: DatabaseSession, type: str, state: str | None, *, lock: str = "") -> LimitRecord:
    found = await read_limit(session, build_scope(type, state), lock=lock)
    if found is None:
        subject = f"the state {state!r} of the workflow {type!r}" if state else f"the workflow {type!r} as a whole"
        raise UnknownLimitError(f"{subject} has no limits")
    return found


async def _read_use(session: DatabaseSession, record: LimitRecord, now: int) -> LimitUse:
    """Return what runs and waits. An opening that is over is left out: the next admission deletes it."""
    running, waiting = await count_use(session, record.scope, now)
    return LimitUse(record.end_opening() if record.is_opening_over(now) else record, running, waiting)
