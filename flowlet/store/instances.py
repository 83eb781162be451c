"""The table of instances: creates, claims, commits. One method is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from flowlet.errors import StoreUnavailableError, TooLargeError
from flowlet.instance.instance import Instance
from flowlet.instance.new_instance import Created, NewInstance
from flowlet.instance.transition import Transition
from flowlet.store.columns import RowReader
from flowlet.store.commits import UNKNOWN_COMMIT, Commit, build_batch_commit
from flowlet.store.connection import Connections
from flowlet.store.database_session import DatabaseSession, build_in_list
from flowlet.store.dialects.batch import Batch, ClaimRequest, CreatedRow
from flowlet.store.dialects.sizes import MAX_BYTES_PER_CHARACTER
from flowlet.store.dialects.write_lock import mark_work
from flowlet.store.rows import INSTANCE_READER
from flowlet.store.tables import WORKFLOW

__all__ = ["ClaimedInstances", "CommitResult", "InstanceStore"]

MAX_BATCH_LENGTH = 2_000_000
"""How many characters are sent together at most, whatever the database accepts: a larger batch is not faster."""


class ClaimedInstances(NamedTuple):
    """What a claim has leased.

    Attributes:
        instances: The instances.
        next_due: If there are none, when the first instance is due, in microseconds since 1970 UTC: one that is due
            already is locked by another transaction. None if none is scheduled, or if there are some.
    """

    instances: list[Instance]
    next_due: int | None


class CommitResult(Enum):
    """The result of a transition's commit."""

    COMMITTED = "committed"
    LOST = "lost"
    """Another executor holds the instance now; nothing was written."""
    PAUSE_CHANGED = "pausing"
    """Nothing was written yet: an operator requested a pause meanwhile, or withdrew the request."""


@dataclass(frozen=True, slots=True)
class _Fence:
    """The columns of an instance that decide whether an executor may write it."""

    id: int
    executor_id: str | None
    token: int
    version: int
    pause_requested: bool

    @property
    def lease(self) -> tuple[str | None, int, int]:
        """The executor, the fencing token and the version."""
        return self.executor_id, self.token, self.version


_FENCE_READER = RowReader(_Fence, {"": WORKFLOW})


class InstanceStore:
    """The table of instances and their history."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._dialect = connections.dialect

    async def create(
        self,
        new_instances: Sequence[NewInstance],
        *,
        now: int,
        on_leased: Callable[[Sequence[Instance]], None] = lambda _: None,
    ) -> list[Created]:
        """Create instances, all or none, and return them in order; a known external id gives the known instance.

        So does one that is kept of an instance that was deleted.

        Args:
            new_instances: The instances. One that names an executor is leased by it, unless a lane is paused.
            now: The store's time, in microseconds since 1970 UTC.
            on_leased: Called with the instances that were leased, even if the caller is cancelled meanwhile.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """

        # Reported inside of the unit of work, which is finished even if its caller is cancelled.
        async def create_and_report(session: DatabaseSession) -> list[CreatedRow]:
            try:
                created = await self._dialect.writes.create(session.raw, new_instances, now)
            except BaseException as error:
                self._report_unanswered(error)
                raise
            rows = list(zip(new_instances, created, strict=True))
            on_leased([new.build_leased(row.id, now=now) for new, row in rows if row.is_leased])
            due_groups = frozenset(new.group for new, row in rows if not row.is_leased)
            self._connections.report_commit(Commit(due_groups, (), is_notified=True))
            return created

        with mark_work(rows=len(new_instances)):
            created = await self._connections.run_on_engine(create_and_report)
        return _build_created_instances(new_instances, created)

    async def create_in_transaction(
        self, session: DatabaseSession, new_instances: Sequence[NewInstance], *, now: int
    ) -> list[Created]:
        """Create instances as ``create`` does, inside the caller's transaction."""
        return _build_created_instances(
            new_instances, await self._dialect.writes.create(session.raw, new_instances, now, in_transaction=True)
        )

    async def claim(self, request: ClaimRequest) -> ClaimedInstances:
        """Lease due instances of the request's groups and types: those of the highest priority that has some.

        Of each type the longest due, and the types in equal shares. Fewer than asked for of one priority: there may
        be more of a lower one.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        with mark_work(rows=request.limit_below):  # what it is limited for passes it
            leased = await self._connections.run_on_engine(
                lambda session: self._dialect.writes.claim(session.raw, request)
            )
        return ClaimedInstances(INSTANCE_READER.parse_all(leased.rows), leased.next_due)

    async def find_next_due(self, groups: Sequence[str], types: Sequence[str], *, now: int) -> int | None:
        """Return when the next instance of these groups and types becomes due, after ``now``; None if none does.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        return await self._connections.read(
            lambda session: self._dialect.writes.find_next_due(session.raw, groups, types, now)
        )

    async def commit(self, executor_id: str, transitions: Sequence[Transition], *, now: int) -> dict[int, CommitResult]:
        """Commit transitions as one batch and return the result of each, by the instance's id.

        Committing a batch again after its outcome was unknown is safe: a committed one is recognised by its version.

        Raises:
            StoreUnavailableError: If the database is unavailable; whether the batch was committed is unknown then.
            RowsLockedError: If another transaction has locked one of the rows; nothing was written.
            Exception: The driver's error if the database refuses a value; nothing of the batch was written.
        """
        ordered = sorted(transitions, key=lambda transition: transition.instance.id)
        batch = Batch(executor_id, ordered, now, may_notify=self._connections.take_notification())

        async def commit_and_report(session: DatabaseSession) -> set[int]:
            try:
                applied, due_groups, is_notified = await self._dialect.writes.commit(session.raw, batch)
            except BaseException as error:
                self._report_unanswered(error)
                raise
            written = [transition for transition in transitions if transition.instance.id in applied]
            self.report_committed(executor_id, written, due_groups, is_notified=is_notified)
            return applied

        with mark_work(rows=len(transitions)):
            applied = await self._connections.run_on_engine(commit_and_report, waits_for_rows=False)
        verdicts = dict.fromkeys(applied, CommitResult.COMMITTED)
        missing = [transition for transition in transitions if transition.instance.id not in verdicts]
        if missing:
            found = await self._read_commit_results(executor_id, missing)
            lost = [transition for transition in missing if found[transition.instance.id] is CommitResult.COMMITTED]
            self.report_committed(executor_id, lost, UNKNOWN_COMMIT.due_groups)
            verdicts |= found
        return verdicts

    async def find_locked(self, ids: Sequence[int]) -> set[int]:
        """Return which of these instances another transaction has locked, without waiting for it.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        binds, values = build_in_list("id", ids)

        async def find_in_session(session: DatabaseSession) -> set[int]:
            sql = f"SELECT id FROM {WORKFLOW} WHERE id IN ({binds})"
            found = {id for (id,) in await session.fetch_rows(sql, values)}
            skip_locked = session.dialect.expressions.skip_locked_sql
            return found - {id for (id,) in await session.fetch_rows(f"{sql} {skip_locked}", values)}

        return await self._connections.run_on_engine(find_in_session)

    def report_committed(
        self,
        executor_id: str,
        transitions: Sequence[Transition],
        due_groups: Iterable[str],
        *,
        is_notified: bool = False,
    ) -> None:
        """Report transitions as committed: if the answer to their commit was lost, as soon as that is known.

        Args:
            executor_id: The executor that has committed them.
            transitions: The transitions.
            due_groups: The executor groups in which they have made instances due.
            is_notified: Whether the other processes have been notified.
        """
        if transitions:
            commit = build_batch_commit(executor_id, transitions, due_groups, is_notified=is_notified)
            self._connections.report_commit(commit)

    def _report_unanswered(self, error: BaseException) -> None:
        """Report that something may have been committed, if it is the answer that may be lost."""
        is_answer = isinstance(error, Exception) and not isinstance(error, StoreUnavailableError)
        if not is_answer or self._dialect.errors.is_unavailable(error):
            self._connections.report_commit(UNKNOWN_COMMIT)

    async def commit_in_transaction(
        self, session: DatabaseSession, executor_id: str, transition: Transition, *, now: int
    ) -> bool:
        """Commit one transition inside the caller's transaction; return whether its fence held."""
        batch = Batch(executor_id, [transition], now)
        applied, due_groups, _ = await self._dialect.writes.commit(session.raw, batch, in_transaction=True)
        if applied:
            session.pending_commit = build_batch_commit(executor_id, [transition], due_groups)
        return bool(applied)

    async def read_commit_result(self, executor_id: str, transition: Transition) -> CommitResult:
        """Return the result of a commit that got no answer; PAUSE_CHANGED if it was not committed.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        instance = transition.instance
        fence = (await self._read_fences([transition])).get(instance.id)
        is_open = fence is not None and fence.lease == (executor_id, instance.token, instance.version)
        return CommitResult.PAUSE_CHANGED if is_open else _infer_commit_result(executor_id, transition, fence)

    def transaction(self) -> AbstractAsyncContextManager[DatabaseSession]:
        """Return a transaction for a handler's own writes."""
        return self._connections.transaction()

    @property
    def max_batch_length(self) -> int:
        """How many characters of transitions, or of new instances, are sent together at most."""
        return min(MAX_BATCH_LENGTH, self._connections.size_limit.bytes // (2 * MAX_BYTES_PER_CHARACTER))

    async def may_be_refusal(self, error: StoreUnavailableError) -> bool:
        """Return whether an error may concern only what was sent: the connection was lost, and the store takes writes.

        A statement that changes no row is the probe: a database that has become read-only refuses it too.
        """
        cause = error.__cause__
        if cause is None or not self._dialect.errors.is_connection_loss(cause):
            return False
        sql = f"UPDATE {WORKFLOW} SET version = version WHERE id = 0"
        try:
            await self._connections.write(lambda session: session.execute(sql))
        except StoreUnavailableError:
            return False
        return True

    def is_refusal(self, error: BaseException) -> bool:
        """Return whether the database refuses a value of a row: it will refuse it again."""
        return isinstance(error, TooLargeError) or self._dialect.errors.is_refusal(error)

    async def _read_commit_results(self, executor_id: str, missing: Sequence[Transition]) -> dict[int, CommitResult]:
        held = await self._read_fences(missing)
        return {t.instance.id: _infer_commit_result(executor_id, t, held.get(t.instance.id)) for t in missing}

    async def _read_fences(self, missing: Sequence[Transition]) -> dict[int, _Fence]:
        binds, values = build_in_list("id", [transition.instance.id for transition in missing])
        sql = f"SELECT {_FENCE_READER.select_list} FROM {WORKFLOW} WHERE id IN ({binds})"
        rows = await self._connections.read(lambda session: session.fetch_rows(sql, values))
        return {fence.id: fence for fence in _FENCE_READER.parse_all(rows)}


def _build_created_instances(new_instances: Sequence[NewInstance], created: Sequence[CreatedRow]) -> list[Created]:
    return [
        Created(row.id, new.external_id, row.is_new, row.is_pruned)
        for new, row in zip(new_instances, created, strict=True)
    ]


def _infer_commit_result(executor_id: str, transition: Transition, fence: _Fence | None) -> CommitResult:
    """Distinguish a commit whose answer was lost from a lease that was lost, by what the row says now."""
    instance = transition.instance
    if fence is None or fence.token != instance.token:
        return CommitResult.LOST
    if fence.version == instance.version + 1:
        return CommitResult.COMMITTED
    is_held = fence.executor_id == executor_id and fence.version == instance.version
    if is_held and fence.pause_requested != instance.pause_requested:
        return CommitResult.PAUSE_CHANGED
    return CommitResult.LOST
