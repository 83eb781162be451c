"""What the tests of users share: users on an empty database, with cheap hashes and a clock moved by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from flowlet.accounts.models import User
from flowlet.accounts.roles import Role
from flowlet.auth.users import Users
from flowlet.clock import VirtualClock, to_microseconds
from flowlet.store.opening import Store, open_store
from tests.accounts.password_hashes import CheapHashes

PASSWORD = "correct horse"


@dataclass(frozen=True, slots=True)
class AuthHarness:
    """One database with its users, and a clock that is moved by hand."""

    store: Store
    clock: VirtualClock
    hashes: CheapHashes
    users: Users

    async def add_user(self, username: str = "ada", role: Role = Role.VIEWER) -> User:
        """Make a user with the common password."""
        return await self.users.create(username, PASSWORD, role, actor="root")

    async def log_in(self, username: str = "ada", *, user_agent: str = "") -> str:
        """Log in, and return the session's token."""
        login = await self.users.log_in(username, PASSWORD, user_agent=user_agent)
        assert login is not None
        return login[0]

    def advance_clock(self, **duration: float) -> None:
        """Move the clock, as ``minutes=5``."""
        self.clock.advance(to_microseconds(timedelta(**duration)))

    async def fetch_rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return what a statement reads."""
        return await self.store.connections.read(lambda session: session.fetch_rows(sql))


@pytest.fixture
async def auth_harness(database_url: str) -> AsyncIterator[AuthHarness]:
    """An empty database; a test that takes it runs on each of the three systems."""
    async with _open_auth_harness(database_url) as made:
        yield made


@pytest.fixture
async def sqlite_auth_harness(sqlite_url: str) -> AsyncIterator[AuthHarness]:
    """An empty SQLite database, for what cannot differ by database."""
    async with _open_auth_harness(sqlite_url) as made:
        yield made


@pytest.fixture
async def two_auth_harnesses(database_url: str) -> AsyncIterator[list[AuthHarness]]:
    """Two processes, as it were, on one database: each with connections and users of its own, on a common clock."""
    clock = VirtualClock()
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(_open_auth_harness(database_url, clock)) for _ in range(2)]


@asynccontextmanager
async def _open_auth_harness(url: str, clock: VirtualClock | None = None) -> AsyncIterator[AuthHarness]:
    clock = clock or VirtualClock()
    async with open_store(url, clock=clock) as store:
        hashes = CheapHashes()
        yield AuthHarness(store, clock, hashes, Users(store, passwords=hashes))
