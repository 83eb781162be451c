"""Opening a store: the dialect of its URL, the tables up to date, the clock set by the database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from flowlet.clock import StoreClock, VirtualClock
from flowlet.settings import normalize_database_url
from flowlet.shutdown import run_to_end
from flowlet.store import migrations
from flowlet.store.api_keys import ApiKeyStore
from flowlet.store.commit_signal import CommitSignal
from flowlet.store.connection import Connections
from flowlet.store.counters import CounterStore
from flowlet.store.definitions import DefinitionStore
from flowlet.store.dialects.base import Dialect
from flowlet.store.executors import ExecutorStore
from flowlet.store.history import HistoryStore
from flowlet.store.instances import InstanceStore
from flowlet.store.queries import InstanceQueries
from flowlet.store.sessions import SessionStore
from flowlet.store.users import UserStore

__all__ = ["Store", "load_dialect", "open_store"]


@dataclass(frozen=True, slots=True)
class Store:
    """One open database: its tables, the clock that it sets, and the signal of its commits."""

    connections: Connections
    clock: StoreClock | VirtualClock
    instances: InstanceStore
    executors: ExecutorStore
    definitions: DefinitionStore
    queries: InstanceQueries
    history: HistoryStore
    users: UserStore
    sessions: SessionStore
    api_keys: ApiKeyStore
    counters: CounterStore
    commit_signal: CommitSignal

    @property
    def url(self) -> str:
        """The database's URL with its password: mask it before showing it."""
        return self.connections.url

    async def read_clock(self) -> int:
        """Set the clock by the database and return its time, in microseconds since 1970 UTC."""
        self.clock.synchronize(
            await self.connections.read(lambda session: session.dialect.connections.read_time(session.raw))
        )
        return self.clock.now()


def load_dialect(url: str) -> Dialect:
    """Return the dialect of a normalized URL. The driver is loaded here, and no other one."""
    scheme = url.partition(":")[0]
    if scheme == "postgresql":
        from flowlet.store.dialects.postgres.dialect import build_postgres_dialect

        return build_postgres_dialect()
    if scheme == "mysql":
        from flowlet.store.dialects.mysql.dialect import build_mysql_dialect

        return build_mysql_dialect()
    from flowlet.store.dialects.sqlite.dialect import build_sqlite_dialect

    return build_sqlite_dialect()


@asynccontextmanager
async def open_store(
    url: str, *, clock: StoreClock | VirtualClock | None = None, migrate: bool = True
) -> AsyncIterator[Store]:
    """Open a database for the length of the block.

    Args:
        url: ``sqlite:///file.db``, ``postgresql://...`` or ``mysql://...``.
        clock: A virtual one in tests; by default the database's time is used.
        migrate: Whether to bring the tables up to date; otherwise they are only checked.

    Raises:
        SettingsError: If the URL cannot be used.
        StoreUnavailableError: If the database cannot be reached or opened.
        SchemaError: If its tables are missing (without ``migrate``), or made by a newer Flowlet.
    """
    usable = normalize_database_url(url)
    connections = Connections(usable, load_dialect(usable))
    await connections.open()
    try:
        await (migrations.upgrade_schema(connections) if migrate else migrations.check_schema(connections))
        store = Store(
            connections,
            clock or StoreClock(),
            InstanceStore(connections),
            ExecutorStore(connections),
            DefinitionStore(connections),
            InstanceQueries(connections),
            HistoryStore(connections),
            UserStore(connections),
            SessionStore(connections),
            ApiKeyStore(connections),
            CounterStore(connections),
            CommitSignal(connections),
        )
        try:
            await store.read_clock()
            yield store
        finally:
            await run_to_end(store.commit_signal.close())
    finally:
        await connections.close()
