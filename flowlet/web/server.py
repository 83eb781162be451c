"""The web server: its socket, its services, and hypercorn until shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import hypercorn.protocol
from hypercorn.asyncio import serve
from hypercorn.config import Config
from quart import Quart

from flowlet.accounts.passwords import generate_password
from flowlet.auth.login_limiter import LoginLimiter
from flowlet.auth.users import ADMIN_USERNAME, PUBLIC_PASSWORD, Users
from flowlet.clock import Clock
from flowlet.definition.registry import Registry
from flowlet.engine.event_stream import EventBroadcaster
from flowlet.engine.executor import Executor
from flowlet.engine.outage import retry_while_away
from flowlet.engine.waiters import Waiters
from flowlet.errors import SettingsError
from flowlet.operations.service import Operations
from flowlet.settings import Settings
from flowlet.shutdown import Shutdown, cancel_and_wait, run_to_end
from flowlet.store.opening import Store
from flowlet.web.http1 import Http1Protocol
from flowlet.web.metrics import Metrics
from flowlet.web.services import EXTENSION_NAME, Services

__all__ = ["build_services", "create_listener", "ensure_admin", "format_address", "serve_web"]

CANCEL_AFTER_SECONDS = 5.0
"""How long after its grace period hypercorn is cancelled."""
FORCED_SHUTDOWN_SECONDS = 0.5
"""How long hypercorn may take to end if requests get no time to finish."""
BACKLOG = 1024
"""How many connections may wait to be accepted; a client beyond that retries after a second. Hypercorn: 100."""
KEEP_ALIVE_SECONDS = 75.0
"""How long an idle connection stays open: longer than clients and proxies keep theirs (5 to 60 s), because a request
that is sent while the server closes the connection fails."""

logger = logging.getLogger(__name__)


def create_listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a host and port; port 0 means any free port.

    Raises:
        SettingsError: If the host is not an address of this machine, or the port is in use or not permitted.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, place = found[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"cannot listen on {host} port {port}: {_describe_cause(error)}") from None
    return listener


def _describe_cause(error: Exception) -> str:
    match getattr(error, "errno", None):
        case errno.EADDRINUSE:
            return (
                "another process uses this port. Choose another one by FLOWLET_PORT or --port, or serve with --no-web."
            )
        case errno.EACCES:
            return "the process may not use this port. Choose one above 1023."
        case errno.EADDRNOTAVAIL:
            return "this machine does not have this address. 0.0.0.0 listens on all its addresses."
        case _:
            return f"{error}."


def format_address(listener: socket.socket) -> str:
    """Return the listener's address as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def build_services(
    store: Store,
    registry: Registry,
    operations: Operations,
    settings: Settings,
    *,
    executor: Executor | None,
    metrics: Metrics,
    waiters: Waiters,
    event_broadcaster: EventBroadcaster,
) -> Services:
    """Return the services of the web application, after ``ensure_admin``.

    Raises:
        StoreUnavailableError: If the database is away for longer than FLOWLET_START_TIMEOUT.
        UserError: If FLOWLET_ADMIN_PASSWORD breaks the rules for passwords.
    """
    users = Users(store, session_idle=settings.session_idle, session_lifetime=settings.session_lifetime)
    try:
        await ensure_admin(users, settings, store.clock)
    except BaseException:
        users.close()
        raise
    return Services(
        store=store,
        registry=registry,
        operations=operations,
        users=users,
        login_limiter=LoginLimiter(store.clock),
        waiters=waiters,
        event_broadcaster=event_broadcaster,
        executor=executor,
        settings=settings,
        started=store.clock.now(),
        metrics=metrics,
    )


async def ensure_admin(users: Users, settings: Settings, clock: Clock) -> None:
    """Create the first admin if there is no user, and replace the demo's password unless it is the setting.

    The password is FLOWLET_ADMIN_PASSWORD, or a random one, which is printed once to stdout and never logged. The
    setting can be the demo's password only in the demo on the loopback address: it is shorter than the minimum.

    Raises:
        StoreUnavailableError: If the database is away for longer than FLOWLET_START_TIMEOUT.
        UserError: If FLOWLET_ADMIN_PASSWORD breaks the rules for passwords.
    """
    given = settings.admin_password.get_secret_value() if settings.admin_password else None
    password = generate_password() if given is None else given
    attempts = 0

    async def set_password() -> str:
        nonlocal attempts
        attempts += 1
        if await users.ensure_admin(password) is not None:
            return "Created the user 'admin'."
        if given != PUBLIC_PASSWORD and await users.replace_public_password(password) is not None:
            return "Replaced the password of the user 'admin', which was the demo's public password."
        # An attempt whose answer was lost may have set it.
        is_set = attempts > 1 and await users.authenticate(ADMIN_USERNAME, password) is not None
        return "Set the password of the user 'admin'." if is_set else ""

    seconds = settings.start_timeout.total_seconds()
    notice = await retry_while_away(set_password, clock, "looking for the first user", seconds=seconds)
    if notice and given is None:
        sys.stdout.write(f"{notice} Its password, which is not shown again: {password}\n")
        sys.stdout.flush()


async def serve_web(
    app: Quart, listener: socket.socket, *, stop: Shutdown, grace_seconds: float, stop_delay_seconds: float = 0.0
) -> None:
    """Serve until the shutdown is requested; then accept no connection, and give open requests the grace period.

    Event streams, waits and bulk operations, which may last longer, are ended at once.

    Args:
        app: The open web application.
        listener: The socket, which it takes over.
        stop: The shutdown.
        grace_seconds: How long open requests may take.
        stop_delay_seconds: How long all of this is put off, while ``/readyz`` says that the process is to stop.

    Raises:
        RuntimeError: If the server has ended although no shutdown was requested.
    """
    services: Services = app.extensions[EXTENSION_NAME]

    async def wait_for_shutdown() -> None:
        await stop.requested.wait()
        services.stop_requested.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(stop_delay_seconds):
                await stop.forced.wait()
        services.end_open_requests()

    hypercorn.protocol.H11Protocol = Http1Protocol  # type: ignore[attr-defined]  # where hypercorn looks for it
    address = listener.getsockname()
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.backlog = BACKLOG
    config.keep_alive_timeout = KEEP_ALIVE_SECONDS
    config.graceful_timeout = grace_seconds
    config.errorlog = logging.getLogger("hypercorn.error")
    config.include_server_header = False
    # Its startup messages repeat ours.
    logging.getLogger("hypercorn.error").setLevel(max(logging.WARNING, logging.getLogger().level))
    serving = asyncio.create_task(serve(_wrap_app(app, address), config, shutdown_trigger=wait_for_shutdown))
    ending = asyncio.create_task(_wait_for_deadline(stop, stop_delay_seconds + grace_seconds + CANCEL_AFTER_SECONDS))
    try:
        await asyncio.wait([serving, ending], return_when=asyncio.FIRST_COMPLETED)
        has_ended_by_itself = not stop.requested.is_set()
    finally:
        await run_to_end(_end_serving(serving, config, stop))
        await cancel_and_wait(ending)
    if not serving.cancelled():
        serving.result()
    if has_ended_by_itself:
        raise RuntimeError("the web server has ended by itself: nothing had asked it to stop")


async def _end_serving(serving: asyncio.Task[None], config: Config, stop: Shutdown) -> None:
    """End hypercorn now, by its own shutdown: a hypercorn that is cancelled while it starts leaves a task behind."""
    config.graceful_timeout = 0.0
    stop.requested.set()
    await asyncio.wait([serving], timeout=FORCED_SHUTDOWN_SECONDS)
    await cancel_and_wait(serving)


def _wrap_app(app: Quart, address: tuple[Any, ...]) -> Callable[[Any, Any, Any], Awaitable[None]]:
    """Return the application without its lifespan, which the caller runs: hypercorn would leave its task behind.

    To the application the server's address is the one on which it listens, not the one at which a client reached it: a
    server on 0.0.0.0 is not meant for this machine only, even if a proxy of this machine connects to it.
    """

    async def serve_request(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            return
        scope["server"] = address[:2]
        await app(scope, receive, send)

    return serve_request


async def _wait_for_deadline(stop: Shutdown, deadline_seconds: float) -> None:
    """Return when the server has to end now: by a forced shutdown, or after the deadline."""
    await stop.requested.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(deadline_seconds):
            await stop.forced.wait()
