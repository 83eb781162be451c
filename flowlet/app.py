"""An application: workflow modules, the resources of their handlers, an executor that runs them, and its web doors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from socket import socket
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from flowlet import log_setup
from flowlet.definition.dependencies import Dependencies
from flowlet.definition.registry import Registry
from flowlet.durations import Duration, parse_duration
from flowlet.engine.executor import Executor
from flowlet.engine.observer import ExecutorObserver
from flowlet.engine.waiters import Waiters
from flowlet.instance.instance import Instance
from flowlet.operations.service import Operations
from flowlet.runtime import (
    Receive,
    Send,
    create_metrics,
    exit_despite_running_threads,
    format_listener_address,
    open_listener,
    run_executor,
    run_lifespan,
    run_loop,
    wait_until_ready,
)
from flowlet.settings import Settings, mask_password
from flowlet.shutdown import Shutdown, wait_for_all, watch_stop_signals
from flowlet.store.instances import CreatedInstance
from flowlet.store.opening import Store, open_store

if TYPE_CHECKING:
    from quart import Quart

    from flowlet.web.metrics import Metrics

__all__ = ["BackgroundService", "Flowlet"]

BackgroundService = Callable[[Shutdown], Awaitable[None]]
"""What else runs in the process until it is told to stop."""
Factory = TypeVar("Factory", bound=Callable[..., Any])
logger = logging.getLogger(__name__)


class Flowlet:
    """Workflow modules that run together on one database.

        app = Flowlet(["shop.orders", "shop.returns"])

        @app.provide
        async def http() -> AsyncIterator[httpx.AsyncClient]:
            async with httpx.AsyncClient() as client:
                yield client

        app.run()

    It is an ASGI application too: any server of such serves its API, and its lifespan runs the executor.

    Args:
        modules: Import names or paths of workflow modules. They are loaded when the application starts, so that
            resources may be provided after this line.
        settings: Instead of those of the environment.
        registry: Definitions that are loaded already, instead of ``modules``.

    Attributes:
        address: Where the API answer, as http://127.0.0.1:8080; None while ``serve`` serves none.
    """

    def __init__(
        self, modules: Sequence[str] = (), *, settings: Settings | None = None, registry: Registry | None = None
    ) -> None:
        self._modules = tuple(modules)
        self._settings = settings
        self._dependencies = registry.provided if registry else Dependencies()
        self._registry = registry
        self._operations: Operations | None = None
        self._executor: Executor | None = None
        self._waiters: Waiters | None = None
        self._web: Quart | None = None
        self.address: str | None = None

    def provide(self, factory: Factory) -> Factory:
        """Provide a resource to handlers: a factory annotated with what it yields. Usable as a decorator.

        It is opened when the application starts and closed when it stops; handlers get it by the type's name in
        their annotations.

        Raises:
            DefinitionError: If the annotation is missing, or the type is provided already.
        """
        self._dependencies.provide(factory)
        return factory

    @property
    def settings(self) -> Settings:
        """The settings, read from the environment on first use.

        Raises:
            SettingsError: If a value cannot be used.
        """
        if self._settings is None:
            self._settings = Settings()
        return self._settings

    @property
    def registry(self) -> Registry:
        """The definitions, loaded on first use.

        Raises:
            DefinitionError: If a module cannot be loaded, or has faults; all of them are listed.
        """
        if self._registry is None:
            registry = Registry(self._dependencies)
            registry.load_all(self._modules or self.settings.modules)
            self._registry = registry
        return self._registry

    @property
    def operations(self) -> Operations:
        """What may be done with instances: answer, move, pause, resume, cancel, retry, wake, edit.

        Raises:
            RuntimeError: If the application is not running.
        """
        if self._operations is None:
            raise RuntimeError("the application is not running: use 'async with app.running():' or app.run()")
        return self._operations

    async def start(
        self,
        name: str,
        *,
        vars: BaseModel | Mapping[str, Any] | None = None,
        key: str | None = None,
        external_id: str | None = None,
        group: str | None = None,
        priority: int | None = None,
        connection: Any = None,
    ) -> CreatedInstance:
        """Create an instance of the named workflow; the executor begins to run it at once.

        Args:
            name: The workflow's name.
            vars: Its variables: the model's object, or plain values.
            key: A business key to find it by; need not be unique.
            external_id: Unique over all instances: creating twice with one gives the same instance.
            group: Instead of the workflow's executor group.
            priority: 0 to 9, instead of the workflow's.
            connection: An open ``databases`` connection to the same database: the instance is then part of the
                transaction that the caller has begun on it, and exists when that commits.

        Raises:
            RuntimeError: If the application is not running.
            UnknownWorkflowError: If there is no such workflow.
            VariablesError: If a value does not fit.
            StoreUnavailableError: If the database is away.
        """
        return await self.operations.create(
            name, vars=vars, key=key, external_id=external_id, group=group, priority=priority, connection=connection
        )

    async def wait(
        self, id: int, *, states: str | Collection[str] | None = None, timeout: Duration = "30s"
    ) -> Instance:
        """Return an instance as soon as it has reached one of these states, or has ended.

        It may have gone further by then, or have ended elsewhere: look at what comes back.

        Args:
            id: The instance.
            states: The states that are waited for; None for its end only.
            timeout: For how long at most; up to an hour.

        Raises:
            RuntimeError: If the application is not running.
            WaitTimeoutError: If it has not come so far in this time; carries the instance as it is.
            UnknownInstanceError: If there is none of this id.
            RefusedError: If the time is too long, or too many wait already.
            DurationError: If the time is no length of time.
        """
        return await self._open_waiters.wait(id, states, timeout=parse_duration(timeout).total_seconds())

    async def start_and_wait(
        self, name: str, *, states: str | Collection[str] | None = None, timeout: Duration = "30s", **values: Any
    ) -> Instance:
        """Create an instance and return it as soon as it has reached one of these states, or has ended.

        A state that it has left again counts, also where its external id was known already: asked again, it answers
        the same. Arguments and errors are those of ``start`` and ``wait``, without ``connection``: what is not
        committed does not run.

        Raises:
            UnknownStateError: If the workflow has none of these states.
        """
        if values.get("connection") is not None:
            raise RuntimeError("what is created inside a transaction runs after its commit: start it, then wait")
        wanted = (states,) if isinstance(states, str) else states or ()
        for state in wanted:
            self.registry.get_definition(name).get_state(state)
        seconds = parse_duration(timeout).total_seconds()
        with self._open_waiters.reserve_wait(seconds) as wait:
            created = await self.start(name, **values)
            return await wait(created.id, wanted, since=0)

    @property
    def _open_waiters(self) -> Waiters:
        if self._waiters is None:
            raise RuntimeError("the application is not running: use 'async with app.running():' or app.run()")
        return self._waiters

    @asynccontextmanager
    async def _run_waiters(self, store: Store) -> AsyncIterator[Waiters]:
        """Let others wait for instances for the length of the block."""
        self._waiters = arrivals = Waiters(store, store.clock)
        try:
            yield arrivals
        finally:
            self._waiters = None
            await arrivals.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Store]:
        """Open the database and run the executor for the length of the block; drain it at the end.

        Raises:
            DefinitionError: If a module has faults.
            SettingsError: If a setting cannot be used.
            StoreUnavailableError: If the database cannot be reached.
        """
        async with self._run_engine() as store:
            yield store

    @asynccontextmanager
    async def _run_engine(self, observer: ExecutorObserver | None = None) -> AsyncIterator[Store]:
        registry = self.registry
        async with open_store(self.settings.database_url) as store, self._run_waiters(store):
            self._executor = self._create_executor(store, observer)
            self._operations = Operations(store, registry)
            task = asyncio.create_task(self._executor.run())
            try:
                await wait_until_ready(task, self._executor.is_ready)
                yield store
            finally:
                self._executor.stop()
                await task
                self._operations = self._executor = None

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer a request, or run as long as the server's lifespan lasts: as ASGI says.

        Raises:
            RuntimeError: If a request comes and the server has not begun a lifespan.
        """
        if scope["type"] == "lifespan":
            await run_lifespan(self._run_web(), receive, send)
            return
        if self._web is None:
            raise RuntimeError("the application is not running: serve it by a server that knows ASGI's lifespan")
        await self._web(scope, receive, send)

    @asynccontextmanager
    async def _run_web(self) -> AsyncIterator[None]:
        """Run, and answer requests, for the length of the block."""
        metrics = create_metrics()
        async with self._run_engine(metrics) as store:
            self._web = app = await self._create_web_app(store, self._executor, metrics)
            await app.startup()
            try:
                yield
            finally:
                self._web = None
                await app.shutdown()

    async def _create_web_app(self, store: Store, executor: Executor | None, metrics: Metrics) -> Quart:
        from flowlet.web.app import create_app
        from flowlet.web.server import build_services

        operations = self._operations or Operations(store, self.registry)
        arrivals = self._open_waiters
        services = await build_services(
            store, self.registry, operations, self.settings, executor=executor, metrics=metrics, waiters=arrivals
        )
        return create_app(services)

    async def serve(
        self, *, web: bool = True, executor: bool = True, background_services: Sequence[BackgroundService] = ()
    ) -> None:
        """Run until SIGTERM or SIGINT.

        The first lets activations and requests finish within the grace period, a second one stops at once.

        Args:
            web: Whether to serve the API, at ``settings.host`` and ``settings.port``.
            executor: Whether to run workflows.
            background_services: What else is to run, and to end when it is told to.

        Raises:
            FlowletError: As ``running``.
            SettingsError: If host and port cannot be listened on.
        """
        _ = self.registry  # faults of modules are told before anything is opened
        async with AsyncExitStack() as stack:
            listener = stack.enter_context(open_listener(self.settings)) if web else None
            store = await stack.enter_async_context(open_store(self.settings.database_url))
            await stack.enter_async_context(self._run_waiters(store))
            logger.info("the database is %s", mask_password(self.settings.database_url))
            stop = Shutdown()
            parts = [one(stop) for one in background_services]
            metrics = create_metrics() if listener else None
            runs = self._create_executor(store, metrics) if executor else None
            self._operations = Operations(store, self.registry)
            if listener and metrics:
                app = await self._create_web_app(store, runs, metrics)
                self.address = format_listener_address(listener)
                logger.info("the API answers at %s", self.address)
                parts.append(self._serve_web(app, listener, stop))
            if runs:
                parts.append(run_executor(runs, stop))
            with watch_stop_signals(stop.request):
                await wait_for_all(parts, stop)
            self._operations = self.address = None

    async def _serve_web(self, app: Quart, listener: socket, stop: Shutdown) -> None:
        from flowlet.web.server import serve_web

        await serve_web(app, listener, stop=stop, grace_seconds=self.settings.grace.total_seconds())

    def _create_executor(self, store: Store, observer: ExecutorObserver | None) -> Executor:
        return Executor(
            store, self.registry, self._dependencies, self.settings.get_executor_settings(), observer=observer
        )

    def run(
        self,
        settings: Settings | None = None,
        *,
        web: bool = True,
        executor: bool = True,
        background_services: Sequence[BackgroundService] = (),
    ) -> None:
        """Set up logging and serve, on uvloop where that is installed. Blocks until the process is told to stop.

        Args:
            settings: Instead of those that the application was made with.
            web: As for ``serve``.
            executor: As for ``serve``.
            background_services: As for ``serve``.

        Raises:
            FlowletError: As ``serve``.
        """
        self._settings = settings or self._settings
        log_setup.configure_logging(level=self.settings.log_level, log_format=self.settings.log_format)
        run_loop(self.serve(web=web, executor=executor, background_services=background_services))
        exit_despite_running_threads()
