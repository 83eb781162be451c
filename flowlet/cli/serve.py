"""The command ``serve``."""

from __future__ import annotations

import sys
from typing import Any

import click

from flowlet.app import BackgroundService, Flowlet
from flowlet.cli.feed import LiveFeed
from flowlet.cli.loading import load_registry, load_settings
from flowlet.cli.options import database_option, modules_argument
from flowlet.cli.processes import ExecutorProcesses, stop_with_parent

__all__ = ["serve"]


@click.command()
@modules_argument
@click.option("--group", "groups", multiple=True, help="An executor group to run, instead of FLOWLET_GROUPS.")
@click.option("--slots", type=click.IntRange(1, 10_000), help="How many activations run at once.")
@click.option("--host", help="The host of the API and the console, instead of FLOWLET_HOST (127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65_535), help="The port, instead of FLOWLET_PORT (8080); 0: any free.")
@click.option("--web/--no-web", default=True, help="Serve the API and the console.")
@click.option("--executor/--no-executor", default=True, help="Run workflows.")
@click.option("--processes", type=click.IntRange(1, 64), default=1, help="How many executors, each in its own process.")
@click.option("--feed/--no-feed", default=None, help="Print the history as it is written; by default on a terminal.")
@click.option("--stop-with-parent", "has_parent", is_flag=True, hidden=True, help="Stop when standard input ends.")
@database_option
def serve(
    modules: tuple[str, ...],
    *,
    web: bool,
    executor: bool,
    processes: int,
    feed: bool | None,
    has_parent: bool,
    **overrides: Any,
) -> None:
    """Run the workflows of the modules and serve the API and the console, until SIGTERM or Ctrl-C.

    MODULE is an import name (shop.orders), a path (shop/orders.py), or an application with the resources that it
    provides (shop.main:app).

    With more than one process, the first one serves the API and the console.

    On a terminal it prints each line of history as it is written, those of other processes included.

    On the first signal, activations and requests may finish within FLOWLET_GRACE. A second one stops at once.
    """
    if not (web or executor):
        raise click.UsageError("With --no-web and --no-executor there is nothing to run. Remove one of them.")
    if processes > 1 and not executor:
        raise click.UsageError("--processes sets the number of executors. Remove it, or remove --no-executor.")
    overrides["groups"] = overrides["groups"] or None
    settings = load_settings(**overrides)
    app = Flowlet(registry=load_registry(modules, settings))
    services: list[BackgroundService] = []
    if processes > 1:
        services.append(ExecutorProcesses(modules, settings, processes - 1))
    if sys.stdout.isatty() if feed is None else feed:
        services.append(LiveFeed(settings))
    if has_parent:
        services.append(stop_with_parent)
    app.run(settings, web=web, executor=executor, background_services=services)
