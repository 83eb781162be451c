"""The commands that operate a deployment: ``serve``, ``doctor`` and ``db``."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import click

from flowlet.app import Flowlet
from flowlet.cli.options import (
    database_option,
    load_registry,
    load_settings,
    modules_argument,
)
from flowlet.cli.output import escape_control_characters
from flowlet.cli.processes import ExecutorProcesses
from flowlet.cli.store import open_existing_store
from flowlet.operations.doctor import Finding, examine_store
from flowlet.settings import Settings, mask_password
from flowlet.store.opening import open_store

__all__ = ["db", "doctor", "serve"]


@click.command()
@modules_argument
@click.option("--group", "groups", multiple=True, help="An executor group to run, instead of FLOWLET_GROUPS.")
@click.option("--slots", type=click.IntRange(1, 10_000), help="How many activations run at once.")
@click.option("--host", help="Where to serve the API, instead of FLOWLET_HOST (127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65_535), help="On which port, instead of FLOWLET_PORT (8080); 0: any.")
@click.option("--web/--no-web", default=True, help="Whether to serve the API.")
@click.option("--executor/--no-executor", default=True, help="Whether to run workflows.")
@click.option("--processes", type=click.IntRange(1, 64), default=1, help="How many executors, each in its own process.")
@database_option
def serve(modules: tuple[str, ...], web: bool, executor: bool, processes: int, **overrides: Any) -> None:
    """Run an executor for the modules, and serve the API, until SIGTERM or Ctrl-C.

    MODULE is an import name (shop.orders), a path (shop/orders.py), or an application with the resources that it
    provides (shop.main:app).

    With more processes the first one has the API.

    The first signal lets activations and requests finish within FLOWLET_GRACE, a second one stops at once.
    """
    if not (web or executor):
        raise click.UsageError("With --no-web and --no-executor there is nothing to serve.")
    if processes > 1 and not executor:
        raise click.UsageError("--processes is how many executors there are: leave it or --no-executor out.")
    overrides["groups"] = overrides["groups"] or None
    settings = load_settings(**overrides)
    app = Flowlet(registry=load_registry(modules, settings))
    beside = (ExecutorProcesses(modules, settings, processes - 1),) if processes > 1 else ()
    app.run(settings, web=web, executor=executor, background_services=beside)


@click.command()
@database_option
def doctor() -> None:
    """Look for instances that are stuck or whose history breaks the rules.

    Ends with 1 if there is one.
    """
    findings = asyncio.run(_examine_store(load_settings()))
    for finding in findings:
        click.echo(escape_control_characters(f"{finding.instance_id}: {finding.rule}: {finding.message}"))
    if findings:
        sys.exit(1)
    click.echo("Nothing is stuck, and every history is in order.")


async def _examine_store(settings: Settings) -> list[Finding]:
    async with open_existing_store(settings) as store:
        return list(await examine_store(store))


@click.group()
def db() -> None:
    """Look after the database."""


@db.command()
@database_option
def upgrade() -> None:
    """Make the tables, or bring them up to this Flowlet."""
    settings = load_settings()
    asyncio.run(_upgrade_store(settings))
    click.echo(f"The tables of {mask_password(settings.database_url)} are those of this Flowlet.")


async def _upgrade_store(settings: Settings) -> None:
    async with open_store(settings.database_url, migrate=True):
        pass
