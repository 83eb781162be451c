"""The commands that operate a deployment: ``serve``, ``doctor`` and ``db``."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import click

from flowlet import logs
from flowlet.cli.opening import existing_store
from flowlet.cli.options import (
    database_option,
    load_registry,
    load_settings,
    modules_argument,
)
from flowlet.cli.printing import plain
from flowlet.doctor import Finding, examine
from flowlet.engine.executor import Executor
from flowlet.registry import Registry
from flowlet.settings import Settings, mask
from flowlet.store.opening import open_store

try:
    from uvloop import new_event_loop
except ImportError:  # it does not exist for Windows
    from asyncio import new_event_loop  # type: ignore[assignment]  # the same function of a slower loop

__all__ = ["db", "doctor", "run", "serve", "stopped_by_signals"]

logger = logging.getLogger(__name__)


@click.command()
@modules_argument
@click.option("--group", "groups", multiple=True, help="An executor group to run, instead of FLOWLET_GROUPS.")
@click.option("--slots", type=click.IntRange(1, 10_000), help="How many activations run at once.")
@database_option
def serve(modules: tuple[str, ...], groups: tuple[str, ...], slots: int | None) -> None:
    """Run an executor for the modules until SIGTERM or Ctrl-C.

    The first signal lets activations finish within FLOWLET_GRACE, a second one stops at once.
    """
    settings = load_settings(groups=groups or None, slots=slots)
    logs.configure(level=settings.log_level, format=settings.log_format)
    run(_serve(settings, load_registry(modules, settings)))


async def _serve(settings: Settings, registry: Registry) -> None:
    async with open_store(settings.database_url) as store:
        executor = Executor(store, registry, registry.provided, settings.executor())
        with stopped_by_signals(executor.stop):
            names = ", ".join(registry.names)
            logger.info("executor %s runs %s on %s", settings.executor_name, names, mask(settings.database_url))
            await executor.run()
    logger.info("executor %s has stopped", settings.executor_name)


@contextmanager
def stopped_by_signals(stop: Callable[[], object]) -> Iterator[None]:
    """Call ``stop`` at each SIGTERM and SIGINT while the block runs, on the running loop."""
    loop = asyncio.get_running_loop()

    def heard() -> None:
        logger.info("told to stop; activations may end first, unless told again")
        stop()

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(heard))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end, on uvloop where that is installed."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main)


@click.command()
@database_option
def doctor() -> None:
    """Look for instances that are stuck or whose history breaks the rules.

    Ends with 1 if there is one.
    """
    findings = asyncio.run(_examine(load_settings()))
    for finding in findings:
        click.echo(plain(f"{finding.instance_id}: {finding.rule}: {finding.message}"))
    if findings:
        sys.exit(1)
    click.echo("Nothing is stuck, and every history is in order.")


async def _examine(settings: Settings) -> list[Finding]:
    async with existing_store(settings) as store:
        return list(await examine(store))


@click.group()
def db() -> None:
    """Look after the database."""


@db.command()
@database_option
def upgrade() -> None:
    """Make the tables, or bring them up to this Flowlet."""
    settings = load_settings()
    asyncio.run(_upgrade(settings))
    click.echo(f"The tables of {mask(settings.database_url)} are those of this Flowlet.")


async def _upgrade(settings: Settings) -> None:
    async with open_store(settings.database_url, migrate=True):
        pass
