"""How an application is hosted: its event loop, the end of its executor, and its web application.

The web modules are imported on first use: a process that only runs an executor is smaller without them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from socket import socket
from typing import TYPE_CHECKING, Any

from flowlet import log_setup
from flowlet.assembly import Engine, open_engine
from flowlet.database_url import mask_password
from flowlet.definition.registry import Registry
from flowlet.engine.executor import Executor
from flowlet.engine.observer import ExecutorObserver
from flowlet.engine.threads.handler_threads import THREAD_PREFIX
from flowlet.protected_tasks import build_own_context, protect_loop
from flowlet.settings import Settings, find_unknown_variables
from flowlet.shutdown import (
    BackgroundTask,
    Shutdown,
    are_stop_signals_watched,
    cancel_and_wait,
    end_process,
    end_when_requested,
    observe_stop_signals,
    run_to_end,
    wait_for_all,
    watch_stop_signals,
)

try:
    from uvloop import new_event_loop
except ImportError:  # it does not exist for Windows
    from asyncio import new_event_loop  # type: ignore[assignment]  # the same function of a slower loop

try:
    import resource
except ImportError:  # nor does this
    resource = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from quart import Quart

    from flowlet.web.metrics import Metrics

__all__ = [
    "create_metrics",
    "exit_despite_running_threads",
    "format_listener_address",
    "open_configured_engine",
    "open_listener",
    "open_web_app",
    "raise_open_file_limit",
    "run_application",
    "run_loop",
    "run_to_completion",
    "run_until_shutdown",
    "serve_until_stopped",
    "serve_web_app",
]

MAX_OPEN_FILES = 65_536
"""How many open files a serving process asks for."""

logger = logging.getLogger(__name__)


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end in a process of our own: on uvloop where that is installed, with less frequent GC.

    Activations make many short-lived objects and few cycles. The garbage collector runs less often than by default, and
    skips what was loaded before, which takes a tenth off the CPU time of a workflow.
    """
    raise_open_file_limit()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            run_to_completion(runner, main)
    except asyncio.CancelledError:
        logger.error("code of another thread or service has cancelled the main task of this process, which ends")
        end_process(1)


def run_application(settings: Settings, served: Coroutine[Any, Any, None]) -> None:
    """Set up logging as the settings say, run what serves an application, and end the process when it has ended.

    Handlers that the application has given the root logger stay, and receive the lines of Flowlet.
    """
    level = settings.log_level if "log_level" in settings.model_fields_set else None
    log_setup.configure_application_logging(level=level, log_format=settings.log_format)
    run_loop(served)
    exit_despite_running_threads()


def run_to_completion(runner: asyncio.Runner, main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end. A handler that stops the loop, or lets a task of its own exit, does not end it.

    asyncio lets a ``SystemExit`` or ``KeyboardInterrupt`` of any task out of the loop, as ``loop.stop()`` does. The
    loop is then started again, unless the coroutine has ended or the interrupt may be the user's Ctrl-C.

    Raises:
        BaseException: Whatever the coroutine raises.
    """
    loop, context = runner.get_loop(), build_own_context()
    protect_loop(loop)
    task = loop.create_task(main, name="flowlet-main", context=context)
    while not task.done():
        try:
            runner.run(_wait_for_task(task), context=context)
        except (SystemExit, KeyboardInterrupt, RuntimeError) as error:
            if task.done() or (isinstance(error, KeyboardInterrupt) and not are_stop_signals_watched()):
                raise
            logger.exception("a task has tried to end the event loop, which runs on")
    task.result()


async def _wait_for_task(task: asyncio.Task[None]) -> None:
    """Wait until a task has ended; a cancellation is passed on to it."""
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        await cancel_and_wait(task)
        raise


def raise_open_file_limit() -> None:
    """Raise the limit of open files, whose default is often 1,024, as far as the system permits.

    Each client takes one. Where none is left, even the heartbeat fails, since it opens a connection of its own.
    """
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(MAX_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # a system's own limit may be lower than the one it names
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def exit_despite_running_threads() -> None:
    """End the process even if a plain ``def`` handler still runs: Python would wait for its thread."""
    handlers = [thread for thread in threading.enumerate() if thread.name.startswith(THREAD_PREFIX)]
    for thread in handlers:
        thread.join(0.1)  # an idle one is about to end
    stuck = [thread.name for thread in handlers if thread.is_alive()]
    if stuck:
        logger.warning("exiting while %d handlers still run: %s", len(stuck), ", ".join(stuck))
        end_process(0)


async def run_until_shutdown(executor: Executor, shutdown: Shutdown) -> None:
    """Run an executor until the shutdown is requested, and end it at once when it is forced."""

    async def stop_executor() -> None:
        await shutdown.requested.wait()
        executor.stop()
        await shutdown.forced.wait()
        executor.stop()

    stopping = BackgroundTask("shutdown-watcher", stop_executor)
    stopping.start()
    try:
        await executor.run()
    finally:
        await stopping.close()


def create_metrics() -> Metrics:
    """Return empty metrics."""
    from flowlet.web.metrics import Metrics

    return Metrics()


def open_listener(settings: Settings) -> socket:
    """Return a socket that listens on the host and port of the settings.

    Raises:
        SettingsError: If the process cannot listen there.
    """
    from flowlet.web.server import create_listener

    return create_listener(settings.host, settings.port)


def format_listener_address(listener: socket) -> str:
    """Return a socket's address for a browser."""
    from flowlet.web.server import format_address

    return format_address(listener)


@asynccontextmanager
async def open_web_app(engine: Engine, settings: Settings, metrics: Metrics) -> AsyncIterator[Quart]:
    """Open the web application of an engine for the length of the block.

    Raises:
        StoreUnavailableError: If the database is away.
        UserError: If FLOWLET_ADMIN_PASSWORD cannot be a password.
    """
    from flowlet.web.app import create_app
    from flowlet.web.server import build_services

    services = await build_services(
        engine.store,
        engine.registry,
        engine.operations,
        settings,
        executor=engine.executor,
        metrics=metrics,
        waiters=engine.waiters,
        event_broadcaster=engine.event_broadcaster,
    )
    try:
        app = create_app(services)
        await run_to_end(app.startup())
        # This process's own server knows of the stop without them.
        is_told = are_stop_signals_watched()
        try:
            with contextlib.nullcontext() if is_told else observe_stop_signals(services.end_open_requests):
                yield app
        finally:
            await run_to_end(app.shutdown())
    finally:
        services.users.close()


async def serve_web_app(app: Quart, listener: socket, shutdown: Shutdown, settings: Settings) -> None:
    """Serve an open web application until the shutdown is requested, and its requests for the grace period."""
    from flowlet.web.server import serve_web

    await serve_web(
        app,
        listener,
        stop=shutdown,
        grace_seconds=settings.grace.total_seconds(),
        stop_delay_seconds=settings.stop_delay.total_seconds(),
    )


def open_configured_engine(
    settings: Settings,
    registry: Registry,
    *,
    has_executor: bool = True,
    observer: ExecutorObserver | None = None,
    wait: timedelta = timedelta(),
) -> AbstractAsyncContextManager[Engine]:
    """Return an engine as the settings say, to be opened; a variable of the environment that is no setting is logged.

    Args:
        settings: The settings.
        registry: The workflows.
        has_executor: Whether the process runs workflows.
        observer: Is notified of what the executor does.
        wait: How long to wait for a database that is away.
    """
    for variable in find_unknown_variables():
        logger.warning("the environment variable %s is no setting of Flowlet: it has no effect", variable)
    return open_engine(
        settings.database_url,
        registry,
        settings.get_executor_settings() if has_executor else None,
        observer=observer,
        schema=settings.schema,
        migrate=settings.migrate,
        wait=wait,
    )


async def serve_until_stopped(
    settings: Settings,
    open_engine: Callable[..., AbstractAsyncContextManager[Engine]],
    publish: Callable[[Engine | None, str | None], None],
    *,
    web: bool,
    background_services: Sequence[Callable[[Shutdown], Awaitable[None]]],
) -> None:
    """Open an engine and run its executor, its web application and other services until SIGTERM or SIGINT.

    Args:
        settings: The settings.
        open_engine: Returns the engine to be opened; ``observer`` is what its executor notifies.
        publish: Called with the engine and the address of its API when they can be used, and with None at the end.
        web: Whether to serve the API and the console.
        background_services: What else is to run until the shutdown is requested.

    Raises:
        FlowletError: If the database cannot be opened, or the process cannot listen on host and port.
    """
    stop, parts = Shutdown(), list[Awaitable[None]]()
    async with AsyncExitStack() as stack:
        stack.enter_context(watch_stop_signals(stop.request))
        listener = stack.enter_context(open_listener(settings)) if web else None
        async with end_when_requested(stop):
            metrics = create_metrics() if listener else None
            engine = await stack.enter_async_context(open_engine(observer=metrics))
            stack.callback(publish, None, None)
            publish(engine, None)
            logger.info("the database is %s", mask_password(settings.database_url))
            if listener and metrics:
                app = await stack.enter_async_context(open_web_app(engine, settings, metrics))
                address = format_listener_address(listener)
                stack.callback(publish, engine, None)
                publish(engine, address)
                logger.info("the API answers at %s", address)
                parts.append(serve_web_app(app, listener, stop, settings))
            if engine.executor:
                parts.append(run_until_shutdown(engine.executor, stop))
            parts += [service(stop) for service in background_services]
        if parts:  # a stop while it starts leaves none
            await wait_for_all(parts, stop)
