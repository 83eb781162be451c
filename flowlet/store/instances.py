"""The instances: created, claimed, committed. One method is one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from enum import Enum

from flowlet.instance.instance import Created, Instance, NewInstance
from flowlet.instance.transition import Transition
from flowlet.store.connection import Connections, DatabaseSession, build_in_list
from flowlet.store.dialects.base import PRIORITIES, Batch, ClaimRequest
from flowlet.store.rows import parse_instance_row

__all__ = ["CommitResult", "InstanceStore"]


class CommitResult(Enum):
    """What became of a transition."""

    COMMITTED = "committed"
    LOST = "lost"
    """Another one holds the instance now; nothing was written."""
    PAUSE_CHANGED = "pausing"
    """Nothing was written yet: an operator asked for a pause meanwhile, or took it back."""


class InstanceStore:
    """The table of instances and their history."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._dialect = connections.dialect

    async def create(self, new_instances: Sequence[NewInstance], *, now: int) -> list[Created]:
        """Create instances, all or none, and return them in order; a known external id gives the known instance.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        created = await self._connections.run_on_engine(
            lambda session: self._dialect.create(session.raw, new_instances, now)
        )
        return _build_created_instances(new_instances, created)

    async def create_in_transaction(
        self, session: DatabaseSession, new_instances: Sequence[NewInstance], *, now: int
    ) -> list[Created]:
        """Create instances inside the caller's transaction, as ``create``."""
        return _build_created_instances(
            new_instances, await self._dialect.create(session.raw, new_instances, now, in_transaction=True)
        )

    async def claim(self, request: ClaimRequest) -> list[Instance]:
        """Lease due instances of the request's groups and types: the higher priority first, then the longer due.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        rows = await self._connections.run_on_engine(lambda session: self._dialect.claim(session.raw, request))
        return [parse_instance_row(row) for row in rows]

    async def find_next_due(self, groups: Sequence[str], *, now: int) -> int | None:
        """Return when the next instance of these groups becomes due, after ``now``; None if none is scheduled."""
        # One probe of the due index for each priority and group: MIN over all of them would walk the whole index.
        column = "due" if self._dialect.name == "mysql" else "next_activation"
        sql = " UNION ALL ".join(
            f"SELECT MIN({column}) AS due FROM workflow WHERE executor_group = :group_{place} AND priority = {level} "
            f"AND status IN ('NEW', 'IN_PROGRESS', 'WAITING') AND {column} > :now"
            for level in PRIORITIES
            for place in range(len(groups))
        )
        values = {f"group_{place}": group for place, group in enumerate(groups)}
        rows = await self._connections.read(lambda session: session.fetch_rows(sql, {**values, "now": now}))
        return min((row[0] for row in rows if row[0] is not None), default=None)

    async def commit(self, executor_id: str, transitions: Sequence[Transition], *, now: int) -> dict[int, CommitResult]:
        """Commit transitions as one batch and return what became of each, by the instance's id.

        Sending a batch again after its outcome was unknown is safe: what was committed is recognised by its version.

        Raises:
            StoreUnavailableError: If the database is away; whether the batch was committed is unknown then.
            Exception: What the driver raises when it refuses a value; nothing of the batch was written.
        """
        batch = Batch(executor_id, sorted(transitions, key=lambda transition: transition.instance.id), now)
        applied = await self._connections.run_on_engine(lambda session: self._dialect.commit(session.raw, batch))
        verdicts = dict.fromkeys(applied, CommitResult.COMMITTED)
        missing = [transition for transition in transitions if transition.instance.id not in applied]
        if missing:
            verdicts |= await self._read_commit_results(executor_id, missing)
        return verdicts

    async def commit_in_transaction(
        self, session: DatabaseSession, executor_id: str, transition: Transition, *, now: int
    ) -> bool:
        """Commit one transition inside the caller's transaction; return whether its fence held."""
        batch = Batch(executor_id, [transition], now)
        return bool(await self._dialect.commit(session.raw, batch, in_transaction=True))

    async def read_commit_result(self, executor_id: str, transition: Transition) -> CommitResult:
        """Return what became of a transition whose commit was not answered; PAUSING if it was not committed.

        Raises:
            StoreUnavailableError: If the database is away.
        """
        instance = transition.instance
        row = (await self._read_fences([transition])).get(instance.id)
        verdict = _infer_commit_result(executor_id, transition, row)
        is_open = row is not None and row[:3] == (executor_id, instance.token, instance.version)
        return CommitResult.PAUSE_CHANGED if is_open else verdict

    def transaction(self) -> AbstractAsyncContextManager[DatabaseSession]:
        """Return a transaction for a handler's own writes."""
        return self._connections.transaction()

    def is_refusal(self, error: BaseException) -> bool:
        """Return whether the database refuses a value of a row: it will refuse it again."""
        return self._dialect.is_refusal(error)

    async def _read_commit_results(self, executor_id: str, missing: Sequence[Transition]) -> dict[int, CommitResult]:
        held = await self._read_fences(missing)
        return {t.instance.id: _infer_commit_result(executor_id, t, held.get(t.instance.id)) for t in missing}

    async def _read_fences(self, missing: Sequence[Transition]) -> dict[int, tuple[object, ...]]:
        binds, values = build_in_list("id", [transition.instance.id for transition in missing])
        sql = f"SELECT id, executor_id, token, version, pause_requested FROM workflow WHERE id IN ({binds})"
        rows = await self._connections.read(lambda session: session.fetch_rows(sql, values))
        return {row[0]: row[1:] for row in rows}


def _build_created_instances(
    new_instances: Sequence[NewInstance], created: Sequence[tuple[int, bool]]
) -> list[Created]:
    return [Created(id, new.external_id, is_new) for new, (id, is_new) in zip(new_instances, created, strict=True)]


def _infer_commit_result(executor_id: str, transition: Transition, row: tuple[object, ...] | None) -> CommitResult:
    """Tell a commit whose answer was lost from a lease that was lost, by what the row says now."""
    instance = transition.instance
    if row is None or row[1] != instance.token:
        return CommitResult.LOST
    if row[2] == instance.version + 1:
        return CommitResult.COMMITTED
    if row[0] == executor_id and row[2] == instance.version and row[3] != int(instance.pause_requested):
        return CommitResult.PAUSE_CHANGED
    return CommitResult.LOST
