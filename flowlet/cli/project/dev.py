"""The command ``dev``: serves modules, and restarts the server when a file changes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flowlet.cli.options import database_option, modules_argument

if TYPE_CHECKING:
    from flowlet.settings import Settings
    from flowlet.shutdown import Shutdown

__all__ = ["dev"]

GRACE = "2s"
"""How long activations may run at a restart, unless FLOWLET_GRACE says otherwise."""
KILL_AFTER_SECONDS = 10.0
"""How much longer the process may take until it is killed."""


@click.command()
@modules_argument
@click.option("--host", help="The host of the API and the console, instead of FLOWLET_HOST (127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65_535), help="The port, instead of FLOWLET_PORT (8080); 0: any free.")
@click.option(
    "--watch",
    "folders",
    metavar="FOLDER",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder whose Python files are watched; may be repeated; by default the current one.",
)
@database_option
def dev(modules: tuple[str, ...], *, host: str | None, port: int | None, folders: tuple[Path, ...]) -> None:
    """Serve the modules, show each transition, and restart when a Python file changes, until Ctrl-C.

    If the modules have faults, these are shown, and the next change is waited for. Instances continue after a restart
    where they were, under the new code.
    """
    from flowlet.cli.loading import load_settings

    settings = load_settings(host=host, port=port)
    if not modules and not settings.modules:
        raise click.UsageError(
            "No workflow module is given. Name one (shop.orders or shop/orders.py), or set FLOWLET_MODULES."
        )
    asyncio.run(_serve_and_watch(modules, settings, folders or (Path.cwd(),)))


async def _serve_and_watch(modules: Sequence[str], settings: Settings, folders: Sequence[Path]) -> None:
    """Run the server until a stop is requested, and replace it at each change."""
    from watchfiles import PythonFilter, awatch

    from flowlet.shutdown import Shutdown, watch_stop_signals

    stop = Shutdown()
    with watch_stop_signals(stop.request):
        changes = awatch(*folders, watch_filter=PythonFilter(), stop_event=stop.requested, raise_interrupt=False)
        click.echo(f"Watching {', '.join(map(str, folders))}. The console: {_format_console_url(settings)}")
        process = await _start_server(modules, settings)
        try:
            async for changed in changes:
                names = sorted({Path(path).name for _, path in changed})
                click.echo(f"{', '.join(names)} changed: restarting.")
                await _stop_server(process, stop)
                process = await _start_server(modules, settings)
        finally:
            await _stop_server(process, stop)


async def _start_server(modules: Sequence[str], settings: Settings) -> asyncio.subprocess.Process:
    """Start ``flowlet serve`` as a process of its own: a module cannot be imported twice into one."""
    options = ("--feed", "--stop-with-parent", "--host", settings.host, "--port", str(settings.port))
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "flowlet", "serve", *modules, *options),
        env={
            **os.environ,
            "FLOWLET_GRACE": os.environ.get("FLOWLET_GRACE") or GRACE,
            "FLOWLET_DATABASE_URL": settings.database_url,
            "FLOWLET_STOP_DELAY": "0s",
        },
        stdin=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C at the terminal would be a second signal to it
    )


async def _stop_server(process: asyncio.subprocess.Process, stop: Shutdown) -> None:
    """Stop the server in order; kill it when a second signal comes, or when it takes too long."""
    from flowlet.shutdown import wait_for_first

    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        await wait_for_first(process.wait(), stop.forced.wait(), asyncio.sleep(_compute_kill_seconds()))
    if process.returncode is None:
        process.kill()
    await process.wait()


def _compute_kill_seconds() -> float:
    from flowlet.clock import parse_duration

    return parse_duration(os.environ.get("FLOWLET_GRACE") or GRACE).total_seconds() + KILL_AFTER_SECONDS


def _format_console_url(settings: Settings) -> str:
    if settings.port == 0:
        return "at the address below"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
