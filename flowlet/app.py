"""An application: workflow modules, the resources of their handlers, an executor that runs them, and its web doors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from flowlet import runtime
from flowlet.assembly import Engine, run_executor
from flowlet.clock import Duration, parse_duration
from flowlet.definition.dependencies import Dependencies
from flowlet.definition.registry import Modules, Registry
from flowlet.instance.instance import Instance
from flowlet.instance.message import Sent
from flowlet.instance.new_instance import Created
from flowlet.operations.service import Operations
from flowlet.settings import Settings
from flowlet.shutdown import Shutdown
from flowlet.store.opening import Store
from flowlet.web.embedding.asgi import AsgiApplication
from flowlet.workflow.workflow import VarsModel, Workflow

if TYPE_CHECKING:
    from quart import Quart

__all__ = ["BackgroundService", "Flowlet"]

BackgroundService = Callable[[Shutdown], Awaitable[None]]
"""Something that runs beside the application until the shutdown is requested."""
Factory = TypeVar("Factory", bound=Callable[..., Any])


class Flowlet(AsgiApplication):
    """Workflow modules that run together on one database.

        app = Flowlet(["shop.orders", "shop.returns"])

        @app.provide
        async def http() -> AsyncIterator[httpx.AsyncClient]:
            async with httpx.AsyncClient() as client:
                yield client

        app.run()

    It is an ASGI application too: any ASGI server serves its API, and the server's lifespan runs the executor. Other
    ASGI applications mount it, and enter its ``lifespan``.

    Args:
        modules: One workflow module or several, each by its import name, its path, or as the module itself. They are
            loaded at the start: provide resources before.
        settings: The settings; None reads them from the environment.
        registry: Definitions that are loaded already, instead of ``modules``.

    Attributes:
        address: The address of the API, as http://127.0.0.1:8080; None while ``serve`` serves none.
    """

    def __init__(
        self, modules: Modules = (), *, settings: Settings | None = None, registry: Registry | None = None
    ) -> None:
        super().__init__()
        self._modules = modules
        self._settings = settings
        self._dependencies = registry.provided if registry else Dependencies()
        self._registry = registry
        self._engine: Engine | None = None
        self.address: str | None = None

    def provide(self, factory: Factory) -> Factory:
        """Provide a resource to handlers: a factory, annotated with the type that it yields. Usable as a decorator.

        It is opened when the application starts, closed when it stops, and given to parameters annotated with the type.

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
        """The operations on instances: answer, move, pause, resume, cancel, retry, wake, edit.

        Raises:
            RuntimeError: If the application is not running.
        """
        return self._running_engine.operations

    async def start(
        self,
        workflow: str | Workflow[VarsModel],
        vars: VarsModel | Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        external_id: str | None = None,
        group: str | None = None,
        priority: int | None = None,
        when: datetime | Duration | None = None,
        connection: Any = None,
    ) -> Created:
        """Create an instance of a workflow. The executor runs it as soon as it is due.

            await app.start(orders.workflow, Order(sku="A-1"), external_id="order-7")

        Args:
            workflow: The workflow's declaration, or its name.
            vars: Its variables: an object of the workflow's model, or plain values; None means an empty object.
            key: The business key, by which it can be found; need not be unique; the external id if None.
            external_id: Unique over all instances: creating twice with one gives the same instance.
            group: Instead of the workflow's executor group.
            priority: 0 to 9, instead of the workflow's.
            when: When it runs first, as a moment or a length of time from now; None, or a past one, means at once.
            connection: A connection to the same database, of SQLAlchemy, asyncpg, psycopg, ``databases`` and others:
                the instance is part of the transaction that the caller has begun on it, and exists when that commits.

        Raises:
            RuntimeError: If the application is not running.
            UnknownWorkflowError: If there is no such workflow.
            VariablesError: If a value does not fit; if ``when`` is given and it begins by waiting for a person.
            DurationError: If ``when`` is a text that is not a length of time.
            StoreUnavailableError: If the database is away.
            StoreError: If ``connection`` cannot be shared, or has no transaction.
        """
        return await self.operations.create(
            workflow if isinstance(workflow, str) else workflow.name,
            vars=vars,
            key=key,
            external_id=external_id,
            group=group,
            priority=priority,
            when=when,
            connection=connection,
        )

    async def send(
        self,
        name: str,
        body: BaseModel | Mapping[str, Any] | None = None,
        *,
        to: int | str | None = None,
        workflow: str | Workflow[Any] | None = None,
        business_key: str | None = None,
        key: str | None = None,
        expires: datetime | Duration | None = None,
        connection: Any = None,
    ) -> Sent:
        """Send a message to an instance, which consumes it in the next receive state that waits for its name.

        Args:
            name: The message's name, one of those that the instance's workflow receives.
            body: An object of the message's model, or plain values; None means an empty object.
            to: The instance: its id as a number, or its external id as a text.
            workflow: Instead of ``to``: the workflow of the one open instance that has the business key.
            business_key: That key.
            key: Sending twice with one to an instance sends one message; a random one if None.
            expires: When it is deleted unread: a moment, or a length of time from now; None for never.
            connection: As for ``start``; the instance is locked until the caller's transaction ends.

        Raises:
            Exception: As ``start``, and as ``MessageOperations.send``.
        """
        type = workflow.name if isinstance(workflow, Workflow) else workflow
        send = partial(self.operations.send, name, body, to=to, type=type, business_key=business_key)
        return await send(key=key, expires=expires, connection=connection)

    async def wait(
        self, id: int, *, states: str | Collection[str] | None = None, timeout: Duration = "30s"
    ) -> Instance:
        """Return an instance as soon as it has reached one of these states, or has ended.

        It may have moved on by then, or have ended in another state: check the state of the returned instance.

        Args:
            id: The instance.
            states: The states to wait for, by their present or former names; None waits for the end.
            timeout: How long to wait at most; up to an hour.

        Raises:
            RuntimeError: If the application is not running.
            WaitTimeoutError: If it has not reached one in this time; carries the instance.
            UnknownInstanceError: If there is no instance with this id.
            RefusedError: If the timeout is too long, or too many requests wait already.
            DurationError: If the timeout is not a length of time.
        """
        return await self._running_engine.waiters.wait(id, states, timeout=parse_duration(timeout).total_seconds())

    async def start_and_wait(
        self,
        workflow: str | Workflow[VarsModel],
        vars: VarsModel | Mapping[str, Any] | None = None,
        *,
        states: str | Collection[str] | None = None,
        timeout: Duration = "30s",
        key: str | None = None,
        external_id: str | None = None,
        group: str | None = None,
        priority: int | None = None,
        when: datetime | Duration | None = None,
    ) -> Instance:
        """Create an instance, and return it as soon as it has reached one of these states, or has ended.

        A state that it has left again counts, also where the external id was known already. Arguments and errors are
        those of ``start`` and ``wait``. It takes no ``connection``: an instance that is not committed does not run.

        Raises:
            UnknownStateError: If the workflow has none of these states.
        """
        engine = self._running_engine
        name = workflow if isinstance(workflow, str) else workflow.name
        wanted = (states,) if isinstance(states, str) else states or ()
        for state in wanted:
            self.registry.get_definition(name).get_state(state)
        with engine.waiters.reserve_wait(parse_duration(timeout).total_seconds()) as wait:
            created = await engine.operations.create(
                name, vars=vars, key=key, external_id=external_id, group=group, priority=priority, when=when
            )
            return (await wait(created.id, wanted, since=0)).instance

    @property
    def _running_engine(self) -> Engine:
        if self._engine is None:
            raise RuntimeError(
                "the application is not running: use 'async with app.running():', its lifespan or app.run()"
            )
        self._engine.store.check_event_loop()
        return self._engine

    @asynccontextmanager
    async def running(self, *, executor: bool = True) -> AsyncIterator[Store]:
        """Open the database and run the executor for the length of the block; drain it at the end.

        A cancelled block stops it at once. Either way nothing of the application runs afterwards: see ``Executor.run``.

        Args:
            executor: Whether to run workflows; without, the process only creates them, for executors elsewhere.

        Raises:
            DefinitionError: If a module has faults.
            SettingsError: If a setting cannot be used.
            StoreUnavailableError: If the database cannot be reached.
        """
        async with self._open_engine(has_executor=executor) as engine, self._use_engine(engine):
            yield engine.store

    def _open_engine(self, **options: Any) -> AbstractAsyncContextManager[Engine]:
        return runtime.open_configured_engine(self.settings, self.registry, **options)

    @asynccontextmanager
    async def _use_engine(self, engine: Engine) -> AsyncIterator[None]:
        """Run the engine's executor, if it has one, and let others use the engine, for the length of the block."""
        self._engine = engine
        try:
            async with run_executor(engine.executor) if engine.executor else nullcontext():
                yield
        finally:
            self._engine = None

    @asynccontextmanager
    async def _run_web(self, *, has_executor: bool) -> AsyncIterator[Quart]:
        metrics = runtime.create_metrics()
        async with (
            self._open_engine(observer=metrics, has_executor=has_executor) as engine,
            self._use_engine(engine),
            runtime.open_web_app(engine, self.settings, metrics) as web,
        ):
            yield web

    async def serve(
        self, *, web: bool = True, executor: bool = True, background_services: Sequence[BackgroundService] = ()
    ) -> None:
        """Run until SIGTERM or SIGINT; wait at the start for a database that is away, as long as the settings say.

        The first signal lets work finish within the grace period; a second one, or a cancellation, stops at once.

        Args:
            web: Whether to serve the API and the console, at ``settings.host`` and ``settings.port``.
            executor: Whether to run workflows.
            background_services: What else is to run until the shutdown is requested.

        Raises:
            FlowletError: As ``running``; also if the process cannot listen on host and port.
        """
        _ = self.registry  # faults of modules are reported before anything is opened
        opening = partial(self._open_engine, has_executor=executor, wait=self.settings.start_timeout)
        await runtime.serve_until_stopped(
            self.settings, opening, self._publish, web=web, background_services=background_services
        )

    def _publish(self, engine: Engine | None, address: str | None) -> None:
        """Let others use an engine, and know the address of its API; None for none."""
        self._engine, self.address = engine, address

    def run(
        self,
        settings: Settings | None = None,
        *,
        web: bool = True,
        executor: bool = True,
        background_services: Sequence[BackgroundService] = (),
    ) -> None:
        """Set up logging and serve, on uvloop where that is installed. Blocks until the process is stopped.

        Args:
            settings: Instead of those that the application was created with.
            web: As for ``serve``, which also lists the errors.
            executor: As for ``serve``.
            background_services: As for ``serve``.
        """
        self._settings = settings or self.settings
        served = self.serve(web=web, executor=executor, background_services=background_services)
        runtime.run_application(self.settings, served)
