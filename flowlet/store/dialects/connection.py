"""What differs between the databases in pools and sessions."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["ConnectionDialect"]


class ConnectionDialect(Protocol):
    """How a database is connected to, and how its connections are reset and closed."""

    begin_sql: str
    """The statement that opens a transaction that is going to write."""
    version_sql: str
    """The statement that reads the server's version."""
    has_pool: bool
    """Whether connections are pooled; SQLite has one that writes and one that reads."""

    def name_product(self, version: str) -> str:
        """Return the product's name, such as "PostgreSQL", by what ``version_sql`` gave."""
        ...

    def build_database_url(self, url: str) -> str:
        """Return the URL in the form that ``databases`` expects."""
        ...

    def build_options(self, *, for_engine: bool) -> dict[str, Any]:
        """Return the keyword options of ``databases.Database``."""
        ...

    async def check_database(self, url: str) -> None:
        """Check what has to be right before ``databases`` connects, and raise the error that connecting would."""
        ...

    async def read_time(self, raw: Any) -> int:
        """Return the server's time in microseconds since 1970 UTC."""
        ...

    def is_closed(self, raw: Any) -> bool:
        """Return whether a connection is lost."""
        ...

    async def reset_connection(self, raw: Any) -> None:
        """Make a connection, outside of any transaction, as good as new after a handler's own statements."""
        ...

    def drop_connection(self, raw: Any) -> None:
        """Close a pooled connection at once, without notifying the server."""
        ...
