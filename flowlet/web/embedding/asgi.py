"""Flowlet as an ASGI application: its lifespan, on its own or in another application's, and its requests.

It imports no web framework: the web application is built when the lifespan begins.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from flowlet.shutdown import cancel_and_wait

__all__ = ["AsgiApplication", "Receive", "Send", "run_lifespan_of"]

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
WebApplication = Callable[[Any, Receive, Send], Awaitable[None]]

logger = logging.getLogger(__name__)


class AsgiApplication(ABC):
    """An application whose lifespan runs an executor, and which answers requests meanwhile."""

    def __init__(self) -> None:
        self._web: WebApplication | None = None

    @abstractmethod
    def _run_web(self, *, has_executor: bool) -> AbstractAsyncContextManager[WebApplication]:
        """Return a block in which the application runs, and which yields what answers its requests."""

    @asynccontextmanager
    async def lifespan(self, host: object = None, *, executor: bool = True) -> AsyncIterator[None]:
        """Run the executor, and answer requests, for the length of the block: for the lifespan of a host application.

            @asynccontextmanager
            async def lifespan(host: FastAPI) -> AsyncIterator[None]:
                async with flow.lifespan():
                    yield

            host = FastAPI(lifespan=lifespan)
            host.mount("/flow", flow)

        A host without a lifespan of its own takes it as it is: ``FastAPI(lifespan=flow.lifespan)``.

        Args:
            host: The application that begins it, as Starlette and FastAPI pass it; not used.
            executor: Whether to run workflows; without, the process creates and shows them for other processes.

        Raises:
            RuntimeError: If the application is running already.
            FlowletError: As ``Flowlet.running``; also if FLOWLET_ADMIN_PASSWORD cannot be a password.
        """
        if self._web is not None:
            raise RuntimeError("the application is running already: begin its lifespan once in a process")
        async with self._run_web(has_executor=executor) as web:
            self._web = web
            try:
                yield
            finally:
                self._web = None

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer a request, or run for the length of the server's lifespan, as ASGI says.

        Raises:
            RuntimeError: If the server has not begun a lifespan.
        """
        if scope["type"] == "lifespan":
            await _serve_lifespan(self.lifespan(), receive, send)
            return
        if self._web is None:
            raise RuntimeError(
                "the application is not running: use an ASGI server that supports lifespan, or enter "
                "app.lifespan() in the lifespan of the application that it is mounted in"
            )
        await self._web(scope, receive, send)

    def wrap(self, host: WebApplication, path: str, *, executor: bool = True) -> WebApplication:
        """Return an ASGI application that is Flowlet below a path, and another application everywhere else.

        For hosts that cannot mount an ASGI application, such as Django and Quart: serve the result instead of the host.
        Its lifespan is Flowlet's, and inside it the host's, if that has one.

            application = flow.wrap(get_asgi_application(), "/flow")

        Args:
            host: The other application.
            path: Where the console begins, as "/flow".
            executor: As for ``lifespan``.

        Raises:
            ValueError: If the path does not begin with a slash, or is all paths.
        """
        prefix = path.rstrip("/")
        if not prefix.startswith("/") or prefix.startswith("//"):
            raise ValueError(f"cannot begin the console at {path!r}: expected a path that is not all paths, as '/flow'")

        @asynccontextmanager
        async def run_both(scope: Any) -> AsyncIterator[None]:
            async with self.lifespan(executor=executor), run_lifespan_of(host, scope):
                yield

        async def serve(scope: Any, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await _serve_lifespan(run_both(scope), receive, send)
            elif below := _move_below(scope, prefix):
                await self(below, receive, send)
            else:
                await host(scope, receive, send)

        return serve


def _move_below(scope: Mapping[str, Any], prefix: str) -> dict[str, Any] | None:
    """Return a request's scope with the prefix at the end of its root path; None if its path is not below that."""
    root = (scope.get("root_path") or "").rstrip("/")
    path = scope["path"]
    if root and path.startswith(f"{root}/"):
        path = path[len(root) :]
    if path != prefix and not path.startswith(f"{prefix}/"):
        return None
    return {**scope, "root_path": root + prefix, "path": root + path}


async def _serve_lifespan(application: AbstractAsyncContextManager[None], receive: Receive, send: Send) -> None:
    """Enter a block at the server's startup, and leave it at its shutdown.

    An error on entry is logged, and reported to the server.
    """
    await receive()
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(application)
        except Exception as error:
            logger.exception("the application cannot start")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})


@asynccontextmanager
async def run_lifespan_of(host: WebApplication, scope: Any) -> AsyncIterator[None]:
    """Run the lifespan of another application for the length of the block; nothing if it has none.

    An application that has none raises an error on the first message, as ASGI says.

    Raises:
        RuntimeError: If the application cannot start or stop.
    """
    requests, answers = asyncio.Queue[Any](), asyncio.Queue[Any]()
    running = asyncio.ensure_future(host(scope, requests.get, answers.put))
    try:
        requests.put_nowait({"type": "lifespan.startup"})
        has_lifespan = await _read_answer(running, answers) is not None
        yield
        if has_lifespan:
            requests.put_nowait({"type": "lifespan.shutdown"})
            await _read_answer(running, answers)
    finally:
        await cancel_and_wait(running)


async def _read_answer(running: asyncio.Future[None], answers: asyncio.Queue[Any]) -> Any:
    """Return an application's answer to a message of its lifespan; None if it has ended instead.

    Raises:
        RuntimeError: If the answer is a failure.
    """
    reading = asyncio.ensure_future(answers.get())
    try:
        await asyncio.wait([running, reading], return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not reading.done():
            await cancel_and_wait(reading)
    if reading.cancelled() and answers.empty():
        if not running.cancelled() and (error := running.exception()):
            logger.debug("the other application has no lifespan: %s", error)
        return None
    answer = answers.get_nowait() if reading.cancelled() else reading.result()
    if answer["type"].endswith(".failed"):
        raise RuntimeError(f"the other application cannot start or stop: {answer.get('message') or 'it says no more'}")
    return answer
