"""The commands about the database: ``db``."""

from __future__ import annotations

import asyncio

import click

from flowlet.cli.loading import load_settings
from flowlet.cli.options import database_option, json_option
from flowlet.cli.output import format_json
from flowlet.cli.retention import forget, prune_
from flowlet.database_url import mask_password
from flowlet.settings import Settings
from flowlet.store.opening import open_store

__all__ = ["db"]


@click.group()
def db() -> None:
    """Manage the database."""


db.add_command(prune_)
db.add_command(forget)


@db.command()
@json_option
@database_option
def upgrade(as_json: bool) -> None:
    """Create the tables, or upgrade them to this version of Flowlet.

    On PostgreSQL they are in FLOWLET_SCHEMA, which is created too. Run it as the role that owns the tables: the one
    that runs workflows needs no right to create them, and with FLOWLET_MIGRATE=false it never does.
    """
    settings = load_settings()
    asyncio.run(_upgrade_store(settings))
    url = mask_password(settings.database_url)
    result = {"database": url, "schema": settings.schema, "isUpToDate": True}
    click.echo(format_json(result) if as_json else f"The tables of {url} are up to date.")


async def _upgrade_store(settings: Settings) -> None:
    async with open_store(settings.database_url, schema=settings.schema, migrate=True):
        pass
