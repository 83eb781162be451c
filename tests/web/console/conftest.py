"""Fixtures of the page tests: applications with users who can log in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from flowlet.accounts.roles import Role
from tests.web.console.console_clients import ConsoleClients, open_console_clients
from tests.web.console.console_harness import ConsoleHarness, open_console
from tests.web.console.workflow_console import WorkflowConsole, open_workflow_console
from tests.web.console.workflow_page_client import WorkflowPageClient, open_workflow_page_client


@pytest.fixture
async def console(sqlite_url: str) -> AsyncIterator[ConsoleHarness]:
    """An application on SQLite, for what cannot differ by database."""
    async with open_console(sqlite_url) as harness:
        yield harness


@pytest.fixture
async def any_console(database_url: str) -> AsyncIterator[ConsoleHarness]:
    """An application; a test that takes it runs on each of the three databases."""
    async with open_console(database_url) as harness:
        yield harness


@pytest.fixture
async def workflow_console(database_url: str) -> AsyncIterator[WorkflowConsole]:
    """An application where nothing runs, on each of the three databases."""
    async with open_workflow_console(database_url) as client:
        yield client


@pytest.fixture
async def sqlite_workflow_console(sqlite_url: str) -> AsyncIterator[WorkflowConsole]:
    """An application where nothing runs, on SQLite."""
    async with open_workflow_console(sqlite_url) as client:
        yield client


@pytest.fixture
async def console_clients(sqlite_url: str) -> AsyncIterator[ConsoleClients]:
    """Logged-in users of each role, on SQLite."""
    async with open_console_clients(sqlite_url) as clients:
        yield clients


@pytest.fixture
async def any_console_clients(database_url: str) -> AsyncIterator[ConsoleClients]:
    """Logged-in users of each role, on each of the three databases."""
    async with open_console_clients(database_url) as clients:
        yield clients


@pytest.fixture
async def any_operator(database_url: str) -> AsyncIterator[WorkflowPageClient]:
    """An operator, on each of the three databases."""
    async with open_workflow_page_client(database_url, Role.OPERATOR) as visit:
        yield visit


@pytest.fixture
async def operator(sqlite_url: str) -> AsyncIterator[WorkflowPageClient]:
    """An operator, on SQLite, for what cannot differ by database."""
    async with open_workflow_page_client(sqlite_url, Role.OPERATOR) as visit:
        yield visit


@pytest.fixture
async def any_admin(database_url: str) -> AsyncIterator[WorkflowPageClient]:
    """An admin, on each of the three databases."""
    async with open_workflow_page_client(database_url, Role.ADMIN) as visit:
        yield visit


@pytest.fixture
async def admin(sqlite_url: str) -> AsyncIterator[WorkflowPageClient]:
    """An admin, on SQLite, for what cannot differ by database."""
    async with open_workflow_page_client(sqlite_url, Role.ADMIN) as visit:
        yield visit


@pytest.fixture
async def viewer(sqlite_url: str) -> AsyncIterator[WorkflowPageClient]:
    """A viewer."""
    async with open_workflow_page_client(sqlite_url, Role.VIEWER) as visit:
        yield visit
