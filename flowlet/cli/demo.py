"""The command ``demo``: runs one instance of each demo workflow, shows the progress, and serves API and console."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import click
from pydantic import SecretStr
from rich.live import Live
from rich.table import Table

from flowlet import log_setup
from flowlet.accounts.roles import Role
from flowlet.app import Flowlet
from flowlet.auth.users import ADMIN_USERNAME, PUBLIC_PASSWORD, Users
from flowlet.cli.loading import load_settings
from flowlet.cli.options import database_option
from flowlet.cli.output import format_action
from flowlet.cli.store import open_settings_store
from flowlet.cli.tables import build_table, create_console
from flowlet.clock import StoreClock
from flowlet.database_url import mask_password
from flowlet.definition.registry import Registry
from flowlet.engine.executor import Executor
from flowlet.instance.action import Action, ActionKind
from flowlet.instance.instance import Instance, Status
from flowlet.operations.service import Operations
from flowlet.runtime import run_loop
from flowlet.settings import Settings
from flowlet.shutdown import Shutdown, watch_stop_signals
from flowlet.store.opening import Store
from flowlet.text import escape_control_characters
from flowlet.web.bundled import find_folder
from flowlet.web.server import create_listener, ensure_admin

__all__ = ["DEMO_MODULES", "demo"]

DEMO_MODULES = ("demo_workflow.py", "get_ip.py", "parent.py", "child.py", "approval.py", "payment.py")
_STARTED_WORKFLOWS = ("DemoWorkflow", "GetIpWorkflow", "DemoParentWorkflow")
_APPROVAL_WORKFLOW = "ApprovalWorkflow"
_NETWORK_WORKFLOW = "GetIpWorkflow"
_TIME_LIMIT_SECONDS = 20.0
_POLL_SECONDS = 0.1
_MIN_RETRIES_SHOWN = 2
_LOOPBACK = "127.0.0.1"
_KEY_LIFETIME = timedelta(days=1)


@dataclass(slots=True)
class _Progress:
    """The progress of the instances: a live table in a terminal, lines elsewhere."""

    live: Live | None
    instances: dict[int, Instance] = field(default_factory=dict)
    actions: dict[int, list[Action]] = field(default_factory=dict)

    async def refresh_instances(self, store: Store, started_ids: list[int]) -> None:
        """Read the instances and their children, and show what has changed."""
        for id in started_ids:
            await self._refresh_instance(store, await store.queries.get(id))
            if self.instances[id].children:
                for child in await store.queries.list_children(id):
                    await self._refresh_instance(store, child)
        if self.live:
            self.live.update(self.build_progress_table())

    async def _refresh_instance(self, store: Store, instance: Instance) -> None:
        if instance == self.instances.get(instance.id):
            return
        known = len(self.actions.get(instance.id, ()))
        # The instance was read first: its history, read later, is at least as new.
        self.actions[instance.id] = list(await store.queries.read_history(instance.id))
        self.instances[instance.id] = instance
        if self.live is None:
            for action in self.actions[instance.id][known:]:
                click.echo(f"{instance.type} {instance.id}: {format_action(action)}")

    def has_no_network(self, instance: Instance) -> bool:
        """Return whether an instance is between attempts because the service did not respond."""
        errors = [action for action in self.actions[instance.id] if action.kind == ActionKind.ERROR]
        text = f"{errors[-1].text} {errors[-1].detail}" if errors else ""
        unanswered = "httpx." in text or "TimeoutError" in text
        return unanswered and instance.type == _NETWORK_WORKFLOW and not instance.has_ended

    def is_finished(self) -> bool:
        """Return whether all instances have ended, wait for a person, or have retried because there is no network."""
        return all(
            one.has_ended
            or one.status is Status.WAITING
            or (one.attempt >= _MIN_RETRIES_SHOWN and self.has_no_network(one))
            for one in self.instances.values()
        )

    def has_succeeded(self) -> bool:
        """Return whether all instances are FINISHED, except one that retries because there is no network."""
        return all(one.succeeded or self.has_no_network(one) for one in self.instances.values())

    def build_progress_table(self) -> Table:
        """Return the table of the instances."""
        columns = ("Id", "Workflow", "Status", "State", "Latest history entry")
        return build_table(columns, [self._build_row(one) for one in self.instances.values()])

    def _build_row(self, instance: Instance) -> tuple[object, ...]:
        status = "retrying: no network" if self.has_no_network(instance) else instance.status
        lines = [action for action in self.actions[instance.id] if action.text]
        return (
            instance.id,
            instance.type,
            status,
            instance.state,
            escape_control_characters(lines[-1].text) if lines else "",
        )


@dataclass(frozen=True, slots=True)
class _Login:
    """The demo's API key, and whether the admin has the public password."""

    api_key: str = field(repr=False)
    is_password_public: bool


@click.command()
@click.option("--once", is_flag=True, help="Run them to their ends on a temporary database, then exit.")
@click.option("--host", default=_LOOPBACK, help="The host; by default only this machine can connect.")
@click.option("--port", type=click.IntRange(0, 65_535), help="The port, instead of FLOWLET_PORT (8080); 0: any free.")
@click.option("--login", is_flag=True, help="Print an API key, also for a database that --database names.")
@database_option
def demo(once: bool, host: str, port: int | None, *, login: bool) -> None:
    """Run the demo workflows and show their progress.

    Without --once, the executor, the API and the console run until Ctrl-C, on ./flowlet-demo.db and the loopback
    address, and the admin's password is admin. If other machines can connect, the password is FLOWLET_ADMIN_PASSWORD
    or a random one.
    """
    with _choose_database_url(once) as url:
        settings = load_settings(database_url=url, host=host, port=port)
        # The progress shows failed attempts; a warning in between would break the live table.
        level = settings.log_level if "log_level" in settings.model_fields_set else "ERROR"
        log_setup.configure_logging(level=level, log_format=settings.log_format)
        is_own = url is not None
        run_loop(
            _run_once(settings) if once else _serve_demo(settings, is_own_database=is_own, has_login=login or is_own)
        )


@contextmanager
def _choose_database_url(once: bool) -> Iterator[str | None]:
    """Yield the URL of the demo's own database; None if ``--database`` names one."""
    if (click.get_current_context().obj or {}).get("database"):
        yield None
    elif once:
        with tempfile.TemporaryDirectory(prefix="flowlet-demo-") as temporary:
            yield f"sqlite:///{Path(temporary) / 'demo.db'}"
    else:
        yield "sqlite:///flowlet-demo.db"


async def _run_once(settings: Settings) -> None:
    registry = _load_demo_registry()
    async with open_settings_store(settings) as store:
        executor = Executor(store, registry, settings.get_executor_settings())
        with watch_stop_signals(executor.stop):
            running = asyncio.create_task(executor.run())
            try:
                progress = await _show_progress(store, registry, _STARTED_WORKFLOWS, running.done)
                _print_summary(progress, settings)
            finally:
                if not running.done():
                    executor.stop()
                await running
    if not progress.has_succeeded():
        sys.exit(1)


async def _serve_demo(settings: Settings, *, is_own_database: bool, has_login: bool) -> None:
    """Serve the demo until it is stopped. A database that the user has named keeps its own users."""
    # A port that is in use is reported before anything is written.
    with create_listener(settings.host, settings.port) as listener:
        is_private = ip_address(listener.getsockname()[0]).is_loopback
    if is_private:  # its hosts are checked even behind a proxy: everyone knows the admin's password
        settings = settings.model_copy(update={"hosts": settings.hosts or ("localhost",)})
    if is_own_database and is_private:
        settings = settings.model_copy(update={"admin_password": SecretStr(PUBLIC_PASSWORD)})
    app = Flowlet(registry=_load_demo_registry(), settings=settings)
    login = await _create_login(settings) if has_login else None

    async def show_guide(stop: Shutdown) -> None:
        async with open_settings_store(settings) as store:
            started = (*_STARTED_WORKFLOWS, _APPROVAL_WORKFLOW)
            progress = await _show_progress(store, app.registry, started, stop.requested.is_set)
        _print_summary(progress, settings)
        if not stop.requested.is_set():
            _print_addresses(settings, app.address, login)

    await app.serve(background_services=(show_guide,))


async def _create_login(settings: Settings) -> _Login:
    """Create the demo's admin if there are no users, and a new API key."""
    async with open_settings_store(settings) as store:
        users = Users(store)
        await ensure_admin(users, settings, store.clock)
        made = await users.keys.create(
            "demo", username=ADMIN_USERNAME, role=Role.ADMIN, actor="demo", lifetime=_KEY_LIFETIME
        )
        return _Login(made.text, is_password_public=await users.has_public_password())


def _load_demo_registry() -> Registry:
    registry = Registry()
    registry.load_all([str(find_folder("demo") / name) for name in DEMO_MODULES])
    return registry


async def _show_progress(
    store: Store, registry: Registry, names: Sequence[str], has_stopped: Callable[[], bool]
) -> _Progress:
    """Start an instance of each workflow, and show them until all are finished, time is up, or the executor stops."""
    operations = Operations(store, registry)
    started = [(await operations.create(name)).id for name in names]
    clock = StoreClock()
    until = clock.monotonic() + _TIME_LIMIT_SECONDS
    screen = _open_live_display()
    with screen as live:
        progress = _Progress(live)
        await progress.refresh_instances(store, started)
        while not (progress.is_finished() or has_stopped() or clock.monotonic() >= until):
            await clock.sleep(_POLL_SECONDS)
            await progress.refresh_instances(store, started)
    return progress


def _open_live_display() -> AbstractContextManager[Live | None]:
    output = create_console()
    if not output.is_terminal:
        return nullcontext()
    return Live(console=output, transient=True)


def _print_summary(progress: _Progress, settings: Settings) -> None:
    create_console().print(progress.build_progress_table())
    for one in progress.instances.values():
        if progress.has_no_network(one):
            click.echo(
                f"No network: {settings.demo_ip_url} does not respond, so {one.type} retries until it has no attempts "
                "left. Set FLOWLET_DEMO_IP_URL to use another address."
            )
        elif one.status is Status.WAITING and not one.awaits:
            click.echo(f"{one.type} {one.id} is waiting for your decision.")
        elif not one.has_ended:
            click.echo(f"{one.type} {one.id} has not ended within {_TIME_LIMIT_SECONDS:.0f} seconds.", err=True)


def _print_addresses(settings: Settings, address: str | None, login: _Login | None) -> None:
    # A server that listens on every address, as in a container, is reached at the loopback address from here.
    address = (address or "").replace("//0.0.0.0:", f"//{_LOOPBACK}:").replace("//[::]:", "//[::1]:")
    option = "" if _is_default_database(settings) else f" --database {mask_password(settings.database_url)}"
    click.echo(f"\nServed at {address} until Ctrl-C.")
    if login is not None:
        reset = f"shown when it was created. To set a new one: flowlet user password {ADMIN_USERNAME}{option}"
        password = PUBLIC_PASSWORD if login.is_password_public else reset
        click.echo(f"Log in as {ADMIN_USERNAME} with the password {password}")
        click.echo(f"API key, valid for a day: {login.api_key}")
        click.echo(f"  curl -H 'X-API-Key: {login.api_key}' {address}/api/definitions")
        click.echo("Postman: import the files of postman/, then set host and key in the environment to these two.")
    click.echo(f"  flowlet list{option}")


def _is_default_database(settings: Settings) -> bool:
    """Return whether a command that names no database means the demo's: so it is in a container."""
    return Settings().database_url == settings.database_url
