"""What differs between the databases in pools and sessions."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Protocol

from flowlet.store.dialects.sizes import SizeLimit
from flowlet.store.dialects.write_lock import WriteLock

__all__ = ["ConnectionDialect"]


class ConnectionDialect(Protocol):
    """How a database is connected to, and how its connections are reset and closed."""

    begin_sql: str
    """The statement that opens a transaction that is going to write."""
    begin_handler_sql: str
    """The same for a handler's own transaction, which may be idle for as long as the server lets one."""
    version_sql: str
    """The statement that reads the server's version."""
    has_pool: bool
    """Whether connections are pooled; SQLite has one that writes and one that reads."""
    backend: str
    """The class that connects for ``databases``, as ``module:class``."""

    def name_product(self, version: str) -> str:
        """Return the product's name, such as "PostgreSQL", by what ``version_sql`` gave."""
        ...

    def build_database_url(self, url: str) -> str:
        """Return the URL in the form that ``databases`` expects."""
        ...

    def build_options(self, url: str, *, for_engine: bool) -> dict[str, Any]:
        """Return the keyword options of ``databases.Database``."""
        ...

    async def check_database(self, url: str) -> None:
        """Check what has to be right before ``databases`` connects, and raise the error that connecting would."""
        ...

    async def check_server(self, raw: Any) -> None:
        """Check, on a new connection, what the server or a pooler before it has to give.

        Raises:
            ValueError: If it does not; the message has the cure.
        """
        ...

    async def read_time(self, raw: Any) -> int:
        """Return the server's time in microseconds since 1970 UTC."""
        ...

    async def read_size_limit(self, raw: Any) -> SizeLimit:
        """Return how much the database accepts in one statement with its values."""
        ...

    def measure_text(self, text: str) -> int:
        """Return how many bytes a text takes in a statement."""
        ...

    def is_closed(self, raw: Any) -> bool:
        """Return whether a connection is lost."""
        ...

    def is_in_transaction(self, raw: Any) -> bool:
        """Return whether the server has a transaction open on a connection, as of its last answer."""
        ...

    async def read_idle_limits(self, raw: Any) -> dict[str, float]:
        """Return after how many seconds the server ends a session whose transaction is idle, by the limit's name."""
        ...

    async def reset_connection(self, raw: Any) -> None:
        """Make a connection, outside of any transaction, as good as new after a handler's own statements."""
        ...

    def drop_connection(self, raw: Any) -> None:
        """Close a pooled connection at once, without notifying the server."""
        ...

    async def expire_connections(self, pool: Any) -> None:
        """Let a pool replace all its connections, those in use when they are released."""
        ...

    def build_write_lock(self) -> WriteLock:
        """Return the lock of the only connection that writes; where there are several, it is never taken."""
        ...

    def limit_work(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        """Let the block take so many seconds at most; None for no limit.

        Raises:
            TimeoutError: If it takes longer.
        """
        ...

    def lift_limit(self) -> None:
        """Let what follows in the block, a ROLLBACK, take as long as it does."""
        ...

    def permit_warnings(self, raw: Any) -> AbstractContextManager[None]:
        """Let the server's warnings be no errors within the block, where they are: for statements of handlers."""
        ...
