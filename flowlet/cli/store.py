"""How commands open an existing database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from flowlet.accounts.access import CLI, set_access
from flowlet.database_url import get_sqlite_path
from flowlet.errors import StoreUnavailableError
from flowlet.settings import Settings
from flowlet.store.opening import Store, open_store

__all__ = ["open_existing_store", "open_settings_store"]


@asynccontextmanager
async def open_existing_store(settings: Settings) -> AsyncIterator[Store]:
    """Open the store of a database that has to exist, without changing its tables.

    Raises:
        StoreUnavailableError: If the database cannot be reached; for SQLite, if the file does not exist.
        SchemaError: If its tables are not those of this version of Flowlet.
    """
    set_access(CLI)
    url = settings.database_url
    if url.startswith("sqlite:") and not get_sqlite_path(url).exists():
        raise StoreUnavailableError(
            f"There is no database file {str(get_sqlite_path(url))!r}. Name the right one with --database or "
            "FLOWLET_DATABASE_URL, or create it with 'flowlet db upgrade'."
        )
    async with open_store(url, schema=settings.schema, migrate=False) as store:
        yield store


def open_settings_store(settings: Settings) -> AbstractAsyncContextManager[Store]:
    """Open the store of the settings, and bring its tables up to date unless FLOWLET_MIGRATE forbids it."""
    set_access(CLI)
    if not settings.migrate:
        return open_existing_store(settings)
    return open_store(settings.database_url, schema=settings.schema, migrate=True)
