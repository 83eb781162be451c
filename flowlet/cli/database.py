"""The commands about the database: ``db``."""

from __future__ import annotations

import asyncio

import click

from flowlet.cli.options import database_option, load_settings
from flowlet.settings import Settings, mask_password
from flowlet.store.opening import open_store

__all__ = ["db"]


@click.group()
def db() -> None:
    """Manage the database."""


@db.command()
@database_option
def upgrade() -> None:
    """Create the tables, or upgrade them to this version of Flowlet."""
    settings = load_settings()
    asyncio.run(_upgrade_store(settings))
    click.echo(f"The tables of {mask_password(settings.database_url)} are up to date.")


async def _upgrade_store(settings: Settings) -> None:
    async with open_store(settings.database_url, migrate=True):
        pass
