"""Which target a command has, and how it is opened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

import click

from flowlet.cli.loading import load_optional_registry, load_registry, load_settings
from flowlet.cli.store import open_existing_store, open_settings_store
from flowlet.cli.targets.target import Target
from flowlet.definition.registry import Registry
from flowlet.errors import SettingsError
from flowlet.settings import Settings

if TYPE_CHECKING:
    from flowlet.cli.targets.server import ServerTarget

__all__ = ["Need", "TargetRequest", "find_server_url", "run_on_server", "run_on_target"]

T = TypeVar("T")


class Need(Enum):
    """Whether a command needs the workflow's module if its target is a database. A server has loaded it."""

    NO_MODULE = "none"
    MODULE_IF_GIVEN = "optional"
    MODULE = "required"


@dataclass(frozen=True, slots=True)
class TargetRequest:
    """What a command needs of its target.

    Attributes:
        need: Whether it needs the workflow's module, on a database.
        modules: The modules of the command line; those of FLOWLET_MODULES if there are none.
        creates_tables: Whether a database's tables are created if they are missing.
        check: Checks the command's values by the registry before a database is opened: a wrong one creates no file.
    """

    need: Need = Need.NO_MODULE
    modules: Sequence[str] = ()
    creates_tables: bool = False
    check: Callable[[Registry], object] | None = None


def run_on_target(work: Callable[[Target], Awaitable[T]], request: TargetRequest = TargetRequest()) -> T:
    """Open the target of the command that runs, do the work, and close it again.

    The target is the server of ``--url``, or the database of ``--database``; without both the server of FLOWLET_URL,
    and without that the database of FLOWLET_DATABASE_URL.

    Args:
        work: What the command does.
        request: What it needs.

    Raises:
        click.UsageError: If both a server and a database are named, or a module is missing.
        SettingsError: If a setting cannot be used, or there is no API key for a server.
        FlowletError: If the target cannot be reached, or refuses.
    """
    settings = load_settings(may_name_server=True)
    url = find_server_url(settings)
    if url is not None:
        return asyncio.run(run_on_server(url, settings, work))
    registry = _load_modules(request, settings)
    if request.check is not None:
        request.check(registry)
    return asyncio.run(_run_on_database(settings, registry, work, creates_tables=request.creates_tables))


def find_server_url(settings: Settings) -> str | None:
    """Return the URL of the server that a command is to work through; None if it works on a database.

    Raises:
        click.UsageError: If both a server and a database are named.
    """
    options = click.get_current_context().obj or {}
    if options.get("url") and options.get("database"):
        raise click.UsageError("--url names a server and --database a database. Remove one of them.")
    return options.get("url") or (None if options.get("database") else settings.url)


def _load_modules(request: TargetRequest, settings: Settings) -> Registry:
    match request.need:
        case Need.MODULE:
            return load_registry(request.modules, settings)
        case Need.MODULE_IF_GIVEN:
            return load_optional_registry(request.modules, settings)
        case _:
            return Registry()


async def _run_on_database(
    settings: Settings, registry: Registry, work: Callable[[Target], Awaitable[T]], *, creates_tables: bool
) -> T:
    from flowlet.cli.targets.database import DatabaseTarget

    async with open_settings_store(settings) if creates_tables else open_existing_store(settings) as store:
        return await work(DatabaseTarget(store, registry))


async def run_on_server(url: str, settings: Settings, work: Callable[[ServerTarget], Awaitable[T]]) -> T:
    """Do the work through a server.

    Raises:
        SettingsError: If there is no API key for it.
        FlowletError: If it cannot be reached, or refuses.
    """
    async with _open_server(url, settings) as target:
        return await work(target)


@asynccontextmanager
async def _open_server(url: str, settings: Settings) -> AsyncIterator[ServerTarget]:
    from flowlet.cli.targets.server import ServerTarget
    from flowlet.client import AsyncClient

    options = click.get_current_context().obj or {}
    key = options.get("api_key") or (settings.key.get_secret_value() if settings.key else None)
    if key is None:
        raise SettingsError(
            f"the server {url.rpartition('@')[2]} needs an API key: set FLOWLET_KEY, or write --api-key. "
            "Create one with: flowlet key add"
        )
    async with AsyncClient(url, key=key) as client:
        yield ServerTarget(client)
