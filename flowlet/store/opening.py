"""Opening a store: the dialect of its URL, the tables up to date, the clock set by the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from flowlet.clock import StoreClock, VirtualClock
from flowlet.database_url import mask_password, normalize_database_url
from flowlet.errors import SettingsError
from flowlet.shutdown import run_to_end
from flowlet.store.api_keys import ApiKeyStore
from flowlet.store.commit_signal import CommitSignal
from flowlet.store.connection import Connections
from flowlet.store.counters import CounterStore
from flowlet.store.definitions import DefinitionStore
from flowlet.store.dialects.base import Dialect
from flowlet.store.executors import ExecutorStore
from flowlet.store.gates.version_gates import VersionGates
from flowlet.store.history import HistoryStore
from flowlet.store.instances import InstanceStore
from flowlet.store.limits.admission import AdmissionStore
from flowlet.store.limits.lane_pauses import LanePauseStore
from flowlet.store.limits.limits import LimitStore
from flowlet.store.messages.messages import MessageStore
from flowlet.store.migrations.upgrade import check_schema, upgrade_schema
from flowlet.store.people.audit import AuditStore
from flowlet.store.people.teams import TeamStore
from flowlet.store.people.views import ViewStore
from flowlet.store.queries import InstanceQueries
from flowlet.store.schedules.schedules import ScheduleStore
from flowlet.store.search.state_names import StateNameStore
from flowlet.store.sessions import SessionStore
from flowlet.store.users import UserStore
from flowlet.text import check_schema_name, describe_missing_extra

__all__ = ["Store", "load_dialect", "open_store"]


@dataclass(frozen=True, slots=True)
class Store:
    """One open database: its tables, the clock that it sets, and the signal of its commits."""

    connections: Connections
    clock: StoreClock | VirtualClock
    instances: InstanceStore
    executors: ExecutorStore
    definitions: DefinitionStore
    state_names: StateNameStore
    queries: InstanceQueries
    history: HistoryStore
    users: UserStore
    sessions: SessionStore
    api_keys: ApiKeyStore
    counters: CounterStore
    version_gates: VersionGates
    limits: LimitStore
    admission: AdmissionStore
    lane_pauses: LanePauseStore
    messages: MessageStore
    schedules: ScheduleStore
    teams: TeamStore
    views: ViewStore
    audit: AuditStore
    commit_signal: CommitSignal
    event_loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    @property
    def url(self) -> str:
        """The database's URL with its password: mask it before showing it."""
        return self.connections.url

    def check_event_loop(self) -> None:
        """Check that the caller runs in the event loop of the store, or in none.

        Raises:
            RuntimeError: If it runs in another one, where each use of the store could wait for ever.
        """
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            return
        if running is not self.event_loop:
            raise RuntimeError(
                "this was opened in another event loop, and can only be used there. In tests with pytest-asyncio, give "
                "the fixture and the test the same loop_scope."
            )

    async def read_clock(self) -> int:
        """Set the clock by the database and return its time, in microseconds since 1970 UTC."""
        self.clock.synchronize(
            await self.connections.read(lambda session: session.dialect.connections.read_time(session.raw))
        )
        return self.clock.now()


def load_dialect(url: str, *, schema: str | None = None) -> Dialect:
    """Return the dialect of a normalized URL. The driver is loaded here, and no other one.

    Args:
        url: The URL.
        schema: The schema of the tables, only on PostgreSQL; None for the one that the role's search path finds.

    Raises:
        SettingsError: If the database has no schemas, the schema's name cannot be used, or the driver is missing.
    """
    try:
        return _import_dialect(url.partition(":")[0], schema, url)
    except ModuleNotFoundError as error:
        if text := describe_missing_extra(error, f"The database {mask_password(url)}"):
            raise SettingsError(text) from error
        raise


def _import_dialect(scheme: str, schema: str | None, url: str) -> Dialect:
    if scheme == "postgresql":
        from flowlet.store.dialects.postgres.dialect import build_postgres_dialect

        return build_postgres_dialect(_check_schema(schema) if schema is not None else None)
    if schema is not None:
        raise SettingsError(
            f"FLOWLET_SCHEMA is {schema!r}: only PostgreSQL has schemas, and the database is {mask_password(url)}. "
            "Remove it."
        )
    if scheme == "mysql":
        from flowlet.store.dialects.mysql.dialect import build_mysql_dialect

        return build_mysql_dialect()
    from flowlet.store.dialects.sqlite.dialect import build_sqlite_dialect

    return build_sqlite_dialect()


@asynccontextmanager
async def open_store(
    url: str, *, schema: str | None = None, clock: StoreClock | VirtualClock | None = None, migrate: bool = True
) -> AsyncIterator[Store]:
    """Open a database for the length of the block.

    Args:
        url: ``sqlite:///file.db``, ``postgresql://...`` or ``mysql://...``.
        schema: The schema of PostgreSQL that has the tables, created if it is missing; None for the one that the
            role's search path finds.
        clock: A virtual one in tests; by default the database's time is used.
        migrate: Whether to bring the tables up to date; otherwise they are only checked.

    Raises:
        SettingsError: If the URL or the schema cannot be used.
        StoreUnavailableError: If the database cannot be reached or opened.
        MissingRightsError: If the database denies its user a right.
        SchemaError: If its tables are missing (without ``migrate``), made by a newer Flowlet or by another program.
    """
    usable = normalize_database_url(url)
    connections = Connections(usable, load_dialect(usable, schema=schema))
    await connections.open()
    try:
        await (upgrade_schema(connections) if migrate else check_schema(connections))
        state_names, store_clock = StateNameStore(connections), clock or StoreClock()
        store = Store(
            connections,
            store_clock,
            InstanceStore(connections),
            ExecutorStore(connections),
            DefinitionStore(connections),
            state_names,
            InstanceQueries(connections, state_names, store_clock),
            HistoryStore(connections),
            UserStore(connections),
            SessionStore(connections),
            ApiKeyStore(connections),
            CounterStore(connections),
            VersionGates(connections),
            LimitStore(connections),
            AdmissionStore(connections),
            LanePauseStore(connections),
            MessageStore(connections),
            ScheduleStore(connections),
            TeamStore(connections),
            ViewStore(connections),
            AuditStore(connections),
            CommitSignal(connections),
        )
        try:
            await store.read_clock()
            yield store
        finally:
            await run_to_end(store.commit_signal.close())
    finally:
        await connections.close()


def _check_schema(schema: str) -> str:
    try:
        return check_schema_name(schema)
    except ValueError as error:
        raise SettingsError(f"the schema is {schema!r}: {error}.") from None
