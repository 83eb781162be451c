"""An application: workflow modules, the resources of their handlers, and an executor that runs them."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from pydantic import BaseModel

from flowlet import logs
from flowlet.engine.activation import THREAD_PREFIX
from flowlet.engine.executor import Executor
from flowlet.operations import Operations
from flowlet.provided import Provided
from flowlet.registry import Registry
from flowlet.settings import Settings, mask
from flowlet.store.instances import Created
from flowlet.store.opening import Store, open_store

try:
    from uvloop import new_event_loop
except ImportError:  # it does not exist for Windows
    from asyncio import new_event_loop  # type: ignore[assignment]  # the same function of a slower loop

__all__ = ["Flowlet", "run_loop", "stopped_by_signals"]

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

    Args:
        modules: Import names or paths of workflow modules. They are loaded when the application starts, so that
            resources may be provided after this line.
        settings: Instead of those of the environment.
        registry: Definitions that are loaded already, instead of ``modules``.
    """

    def __init__(
        self, modules: Sequence[str] = (), *, settings: Settings | None = None, registry: Registry | None = None
    ) -> None:
        self._modules = tuple(modules)
        self._settings = settings
        self._provided = registry.provided if registry else Provided()
        self._registry = registry
        self._operations: Operations | None = None
        self._executor: Executor | None = None

    def provide(self, factory: Factory) -> Factory:
        """Provide a resource to handlers: a factory annotated with what it yields. Usable as a decorator.

        It is opened when the application starts and closed when it stops; handlers get it by the type's name in
        their annotations.

        Raises:
            DefinitionError: If the annotation is missing, or the type is provided already.
        """
        self._provided.provide(factory)
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
            registry = Registry(self._provided)
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
    ) -> Created:
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

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Store]:
        """Open the database and run the executor for the length of the block; drain it at the end.

        Raises:
            DefinitionError: If a module has faults.
            SettingsError: If a setting cannot be used.
            StoreUnavailableError: If the database cannot be reached.
        """
        registry = self.registry
        async with open_store(self.settings.database_url) as store:
            self._executor = Executor(store, registry, self._provided, self.settings.executor())
            self._operations = Operations(store, registry, wake=self._executor.wake)
            task = asyncio.create_task(self._executor.run())
            try:
                await _first(task, self._executor.is_ready.wait())
                yield store
            finally:
                self._executor.stop()
                await task
                self._operations = self._executor = None

    async def serve(self) -> None:
        """Run until SIGTERM or SIGINT: the first lets activations finish within the grace period, a second stops.

        Raises:
            FlowletError: As ``running``.
        """
        registry = self.registry
        async with open_store(self.settings.database_url) as store:
            executor = Executor(store, registry, self._provided, self.settings.executor())
            self._operations = Operations(store, registry, wake=executor.wake)
            with stopped_by_signals(executor.stop):
                logger.info("the database is %s", mask(self.settings.database_url))
                await executor.run()
            self._operations = None

    def run(self, settings: Settings | None = None) -> None:
        """Set up logging and serve, on uvloop where that is installed. Blocks until the process is told to stop.

        Args:
            settings: Instead of those that the application was made with.

        Raises:
            FlowletError: As ``running``.
        """
        self._settings = settings or self._settings
        logs.configure(level=self.settings.log_level, format=self.settings.log_format)
        run_loop(self.serve())
        _leave_threads_behind()


def _leave_threads_behind() -> None:
    """End the process where a plain ``def`` handler runs on past the grace period: Python would wait for its thread."""
    handlers = [thread for thread in threading.enumerate() if thread.name.startswith(THREAD_PREFIX)]
    for thread in handlers:
        thread.join(0.1)  # one that has nothing to do is about to end
    stuck = [thread.name for thread in handlers if thread.is_alive()]
    if stuck:
        logger.warning("leaving %d handlers behind that do not end: %s", len(stuck), ", ".join(stuck))
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)


async def _first(task: asyncio.Task[None], ready: Coroutine[Any, Any, Any]) -> None:
    """Wait until ready, or until the task has broken off, and raise what it raised."""
    waiting = asyncio.create_task(ready)
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        task.result()


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


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end in a process of our own: on uvloop where that is installed, with a patient collector.

    Activations make many short-lived objects and few cycles: the garbage collector looks less often than by default,
    and not at what was loaded before, which takes a tenth off the CPU time of a workflow.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main)
