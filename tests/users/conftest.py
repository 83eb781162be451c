"""What the tests of users share: users on an empty database, with cheap hashes and a clock moved by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from flowlet.accounts import User
from flowlet.clock import VirtualClock, microseconds
from flowlet.roles import Role
from flowlet.store.opening import Store, open_store
from flowlet.users import Users
from tests.users.hashes import CheapHashes

PASSWORD = "correct horse"


@dataclass(frozen=True, slots=True)
class House:
    """One database with its users, and a clock that is moved by hand."""

    store: Store
    clock: VirtualClock
    hashes: CheapHashes
    users: Users

    async def add(self, username: str = "ada", role: Role = Role.VIEWER) -> User:
        """Make a user with the common password."""
        return await self.users.create(username, PASSWORD, role, by="root")

    async def token(self, username: str = "ada", *, user_agent: str = "") -> str:
        """Log in, and return the session's token."""
        login = await self.users.log_in(username, PASSWORD, user_agent=user_agent)
        assert login is not None
        return login[0]

    def wait(self, **length: float) -> None:
        """Move the clock, as ``minutes=5``."""
        self.clock.advance(microseconds(timedelta(**length)))

    async def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return what a statement reads."""
        return await self.store.connections.read(lambda session: session.rows(sql))


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    """An empty database; a test that takes it runs on each of the three systems."""
    async with _opened(database_url) as made:
        yield made


@pytest.fixture
async def sqlite_house(sqlite_url: str) -> AsyncIterator[House]:
    """An empty SQLite database, for what cannot differ by database."""
    async with _opened(sqlite_url) as made:
        yield made


@pytest.fixture
async def neighbours(database_url: str) -> AsyncIterator[list[House]]:
    """Two processes, as it were, on one database: each with connections and users of its own, on a common clock."""
    clock = VirtualClock()
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(_opened(database_url, clock)) for _ in range(2)]


@asynccontextmanager
async def _opened(url: str, clock: VirtualClock | None = None) -> AsyncIterator[House]:
    clock = clock or VirtualClock()
    async with open_store(url, clock=clock) as store:
        hashes = CheapHashes()
        yield House(store, clock, hashes, Users(store, passwords=hashes))
