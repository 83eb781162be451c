"""What a database's module has to offer: everything in which the three databases differ."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from flowlet.instance.instance import ENDED_STATUSES, NewInstance
from flowlet.instance.transition import Transition
from flowlet.store.counter_buckets import CounterBucket
from flowlet.store.dialects.listening import ListenRequest

__all__ = [
    "PRIORITIES",
    "Batch",
    "BatchResult",
    "ClaimRequest",
    "Dialect",
    "Followups",
    "collect_followups",
    "count_ended_children",
]

PRIORITIES = tuple(range(9, -1, -1))
"""The priorities in the order in which they are served."""


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """Which instances an executor wants. ``now`` is the store's time in microseconds since 1970 UTC."""

    executor_id: str
    groups: Sequence[str]
    types: Sequence[str]
    limit: int
    now: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Transitions that are to be committed together, sorted by instance. No instance is in it twice."""

    executor_id: str
    transitions: Sequence[Transition]
    now: int


class BatchResult(NamedTuple):
    """What a batch has done.

    Attributes:
        applied_ids: The instances whose fence held: their transitions are written.
        due_groups: The executor groups in which instances have become due, where other processes have to be notified of
            that; empty on a database on which they find it by themselves.
    """

    applied_ids: set[int]
    due_groups: set[str]


@dataclass(frozen=True, slots=True)
class Followups:
    """What a batch does beyond its own rows, for the transitions whose fence held.

    Attributes:
        children: The instances to create.
        ended_child_counts: How many children of each parent have ended, ordered by the parent's id.
        woken_parents: The parents that a child wakes, ordered by id.
    """

    children: Sequence[NewInstance]
    ended_child_counts: Sequence[tuple[int, int]]
    woken_parents: Sequence[int]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.children or self.ended_child_counts or self.woken_parents)


def count_ended_children(transitions: Sequence[Transition]) -> list[tuple[int, int]]:
    """Return how many children of each parent end with these transitions, ordered by the parent's id."""
    counts: dict[int, int] = {}
    for transition in transitions:
        parent = transition.instance.parent_id
        if parent is not None and transition.status in ENDED_STATUSES:
            counts[parent] = counts.get(parent, 0) + 1
    return sorted(counts.items())


def collect_followups(transitions: Sequence[Transition]) -> Followups:
    """Return what these transitions do beyond their own rows."""
    children = [child for transition in transitions for child in transition.children]
    woken = {t.instance.parent_id for t in transitions if t.wakes_parent and t.instance.parent_id is not None}
    return Followups(children, count_ended_children(transitions), sorted(woken))


@contextlib.asynccontextmanager
async def begin_transaction(execute: Callable[[str], Awaitable[Any]]) -> AsyncIterator[None]:
    """Run a block between BEGIN and COMMIT on a raw connection; roll back where it raises."""
    await execute("BEGIN")
    try:
        yield
        await execute("COMMIT")
    except BaseException:
        with contextlib.suppress(Exception):
            await execute("ROLLBACK")
        raise


class Dialect(Protocol):
    """One database. Methods that take a raw connection run on it what no portable statement can say well."""

    name: str
    begin_sql: str
    """What opens a transaction that is going to write."""
    version_sql: str
    """What reads the server's version."""
    for_update_sql: str
    """What locks the rows of a SELECT, or nothing."""
    skip_locked_sql: str
    """What locks the rows of a SELECT and leaves out those that others hold, or nothing."""
    newest_first_sql: str
    """What has the newest lines of one instance's history first, after ORDER BY."""
    has_pool: bool
    """Whether connections are pooled; SQLite has one that writes and one that reads."""
    needs_notifications: bool
    """Whether other processes hear of a commit only if this one notifies them."""
    has_slow_json: bool
    """Whether reading a text as JSON takes several times as long as looking for a piece of text in it."""

    def build_database_url(self, url: str) -> str:
        """Return the URL as ``databases`` wants it."""
        ...

    def build_options(self, *, for_engine: bool) -> dict[str, Any]:
        """Return the keyword options of ``databases.Database``."""
        ...

    async def check_database(self, url: str) -> None:
        """See to what has to be right before ``databases`` connects; raise what connecting would."""
        ...

    async def read_time(self, raw: Any) -> int:
        """Return the server's time in microseconds since 1970 UTC."""
        ...

    async def renew_lease(
        self, raw: Any, executor_id: str, lease_microseconds: int, claimed_at: int | None
    ) -> int | None:
        """Prolong a live executor's lease by the server's time and return that; None if it is not live. One commit.

        When it last claimed is noted with it, unless that is None.
        """
        ...

    async def lock_migrations(self, raw: Any) -> None:
        """Wait until no other process migrates."""
        ...

    async def unlock_migrations(self, raw: Any) -> None:
        """Let the next process migrate, where the end of the transaction does not."""
        ...

    async def claim(self, raw: Any, request: ClaimRequest) -> list[Sequence[Any]]:
        """Lease due instances and return their rows. One transaction."""
        ...

    async def commit(self, raw: Any, batch: Batch, *, in_transaction: bool = False) -> BatchResult:
        """Write the transitions whose fence holds. One transaction.

        With ``in_transaction`` the caller opened one and commits it.
        """
        ...

    async def create(
        self, raw: Any, new_instances: Sequence[NewInstance], now: int, *, in_transaction: bool = False
    ) -> list[tuple[int, bool]]:
        """Create instances, all or none; return each one's id and whether it is new. One transaction.

        With ``in_transaction`` the caller opened one and commits it.
        """
        ...

    async def apply_followups(self, raw: Any, batch_followups: Followups, now: int) -> set[str]:
        """Create children, count ended ones in their parents' rows, wake parents: in the caller's transaction.

        Return the executor groups of the parents that became due, as in ``BatchResult.due_groups``. A statement that
        creates instances notifies other processes itself.
        """
        ...

    def get_writer_id(self, raw: Any) -> int:
        """Return under which number a connection counts: no two that write at the same time have the same."""
        ...

    async def add_counts(self, raw: Any, writer_id: int, counts: Sequence[CounterBucket]) -> None:
        """Add to a writer's counts, in the caller's transaction; ``counts.COMMON`` counts for all."""
        ...

    async def notify(self, raw: Any, groups: Iterable[str]) -> None:
        """Let the caller's transaction notify the other processes, when it commits, that work became due for groups."""
        ...

    async def send_commit_signal(self, raw: Any, groups: Iterable[str]) -> None:
        """Notify the other processes at once of what has been committed; ``groups`` are those with work due, if any."""
        ...

    async def listen_for_commits(self, listen_request: ListenRequest) -> None:
        """Call ``on_commit`` at each commit of other processes, and once when this is certain, until cancelled.

        Return, or raise whatever it was, when the connection is lost.
        """
        ...

    def build_ids_sql(self, bind: str) -> str:
        """Return what stands in ``IN (...)`` for a list of ids of any length, in one bind."""
        ...

    def encode_ids(self, ids: Sequence[int]) -> Any:
        """Return the value of that bind."""
        ...

    def build_prefix_condition(self, column: str, bind: str) -> str:
        """Return the condition that a name begins with a text, as a range that the column's index answers."""
        ...

    def build_prefix_binds(self, bind: str, prefix: str) -> dict[str, Any]:
        """Return the values of its binds; a name is at most 255 characters long."""
        ...

    def build_variable_sql(self, bind: str) -> str:
        """Return the SQL of a top-level variable as JSON text; NULL where there is none. It is named by a bind."""
        ...

    def build_variable_path(self, name: str) -> str:
        """Return the value of that bind for a variable, whose name has no quote and no backslash."""
        ...

    def is_closed(self, raw: Any) -> bool:
        """Return whether a connection is lost."""
        ...

    async def reset_connection(self, raw: Any) -> None:
        """Make a connection, outside of any transaction, as good as new after a handler's own statements."""
        ...

    def drop_connection(self, raw: Any) -> None:
        """Close a pooled connection at once, without a word to the server."""
        ...

    def is_unavailable(self, error: BaseException) -> bool:
        """Return whether the database went away: the same call may work later."""
        ...

    def is_conflict(self, error: BaseException) -> bool:
        """Return whether the transaction lost against another one and was rolled back: it can be tried again."""
        ...

    def is_deadlock(self, error: BaseException) -> bool:
        """Return whether the database chose this transaction, of several that could not all go on, to be rolled back.

        Unlike other conflicts it cannot go on for ever: another transaction has been let through.
        """
        ...

    def is_refusal(self, error: BaseException) -> bool:
        """Return whether the database refuses a value of a row: it will refuse it again."""
        ...
