"""The instances: created, claimed, committed. One method is one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum

from flowlet.instance.instance import Instance, NewInstance
from flowlet.instance.transition import Transition
from flowlet.store.commits import Commit, build_batch_commit
from flowlet.store.connection import Connections, DatabaseSession, build_in_list
from flowlet.store.dialects.base import PRIORITIES, Batch, ClaimRequest
from flowlet.store.rows import parse_instance_row

__all__ = ["CommitResult", "CreatedInstance", "InstanceStore"]


class CommitResult(Enum):
    """What became of a transition."""

    COMMITTED = "committed"
    LOST = "lost"
    """Another one holds the instance now; nothing was written."""
    PAUSE_CHANGED = "pausing"
    """Nothing was written yet: an operator asked for a pause meanwhile, or took it back."""


@dataclass(frozen=True, slots=True)
class CreatedInstance:
    """What a create gives: the id, and whether it is new or the external id was known."""

    id: int
    external_id: str
    is_new: bool


class InstanceStore:
    """The table of instances and their history."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._dialect = connections.dialect

    async def create(self, new_instances: Sequence[NewInstance], *, now: int) -> list[CreatedInstance]:
        """Create instances, all or none, and return them in order; a known external id gives the known instance.

        Raises:
            StoreUnavailableError: If the database is away.
        """

        # Reported inside of the unit of work, which is finished even where its caller is cancelled.
        async def create_and_report(session: DatabaseSession) -> list[tuple[int, bool]]:
            created = await self._dialect.create(session.raw, new_instances, now)
            self._connections.report_commit(Commit(frozenset(new.group for new in new_instances), (), None, True))
            return created

        return _build_created_instances(new_instances, await self._connections.run_on_engine(create_and_report))

    async def create_in_transaction(
        self, session: DatabaseSession, new_instances: Sequence[NewInstance], *, now: int
    ) -> list[CreatedInstance]:
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

        async def commit_and_report(session: DatabaseSession) -> set[int]:
            applied, due_groups = await self._dialect.commit(session.raw, batch)
            self.report_committed(executor_id, _select_transitions(transitions, applied), due_groups)
            return applied

        verdicts = dict.fromkeys(await self._connections.run_on_engine(commit_and_report), CommitResult.COMMITTED)
        missing = [transition for transition in transitions if transition.instance.id not in verdicts]
        if missing:
            found = await self._read_commit_results(executor_id, missing)
            self.report_committed(executor_id, [t for t in missing if found[t.instance.id] is CommitResult.COMMITTED])
            verdicts |= found
        return verdicts

    def report_committed(
        self, executor_id: str, transitions: Sequence[Transition], due_groups: Iterable[str] = ()
    ) -> None:
        """Report transitions as committed: where the answer to their commit was lost, as soon as that is known."""
        if transitions:
            self._connections.report_commit(build_batch_commit(executor_id, transitions, due_groups))

    async def commit_in_transaction(
        self, session: DatabaseSession, executor_id: str, transition: Transition, *, now: int
    ) -> bool:
        """Commit one transition inside the caller's transaction; return whether its fence held."""
        batch = Batch(executor_id, [transition], now)
        applied, due_groups = await self._dialect.commit(session.raw, batch, in_transaction=True)
        if applied:
            session.pending_commit = build_batch_commit(executor_id, [transition], due_groups)
        return bool(applied)

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


def _select_transitions(transitions: Sequence[Transition], ids: set[int]) -> list[Transition]:
    return [transition for transition in transitions if transition.instance.id in ids]


def _build_created_instances(
    new_instances: Sequence[NewInstance], created: Sequence[tuple[int, bool]]
) -> list[CreatedInstance]:
    return [
        CreatedInstance(id, new.external_id, is_new) for new, (id, is_new) in zip(new_instances, created, strict=True)
    ]


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
