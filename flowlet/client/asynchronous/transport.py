"""The HTTP transport: it sends requests, and retries those that are safe to repeat."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

import httpx

from flowlet.client.errors import ClientError
from flowlet.client.request import ApiRequest
from flowlet.client.retry import RetryPolicy
from flowlet.client.service import ApiServer, build_unreachable_error, check_event_stream
from flowlet.clock import Clock

__all__ = ["AsyncTransport", "Closeable"]

Result = TypeVar("Result")


class Closeable(Protocol):
    """An object that the client closes before itself."""

    async def aclose(self) -> None:
        """Close it."""
        ...


class AsyncTransport:
    """The connection to one server.

    Args:
        server: The server.
        http: An httpx client, which stays open when this is closed; or an httpx transport for a client of its own; None
            for a client with httpx's default transport.
        retry_policy: How often and for how long a request is retried.
        clock: The clock that sleeps between two attempts.
    """

    def __init__(
        self,
        server: ApiServer,
        http: httpx.AsyncClient | httpx.AsyncBaseTransport | None,
        retry_policy: RetryPolicy,
        clock: Clock,
    ) -> None:
        self._server = server
        self._is_own = not isinstance(http, httpx.AsyncClient)
        self._http = http if isinstance(http, httpx.AsyncClient) else httpx.AsyncClient(transport=http)
        self._retry_policy = retry_policy
        self.clock = clock
        self.streams: WeakSet[Closeable] = WeakSet()

    async def send(self, api_request: ApiRequest[Result]) -> Result:
        """Send a request, retry it where that is safe and may help, and return its result.

        Raises:
            ApiError: If the server responds with an error.
            UnexpectedResponseError: If the response is not what the endpoint returns.
            UnreachableError: If there is no response.
            TypeError: If a value cannot be written as JSON.
        """

        async def send_once(elapsed_seconds: float) -> Result:
            request = self._http.build_request(
                **self._server.build_request(api_request, elapsed_seconds=elapsed_seconds)
            )
            try:
                response = await self._http.send(request, follow_redirects=False)
            except httpx.RequestError as error:
                raise build_unreachable_error(api_request, error) from error
            return self._server.read_result(api_request, response)

        return await self._attempt_with_retries(api_request, send_once)

    async def open_stream(
        self, api_request: ApiRequest[None], *, last_id: str, heartbeat_timeout_seconds: float
    ) -> httpx.Response:
        """Open an event stream, with retries, and return its response. The caller closes it.

        Args:
            api_request: The request.
            last_id: The id after which the stream resumes; empty for none.
            heartbeat_timeout_seconds: How long the connection may be silent before it counts as dead.

        Raises:
            ApiError: If the server responds with an error.
            UnexpectedResponseError: If the response is not an event stream.
            UnreachableError: If there is no response.
        """

        async def open_once(_: float) -> httpx.Response:
            return await self.open_stream_once(
                api_request, last_id=last_id, heartbeat_timeout_seconds=heartbeat_timeout_seconds
            )

        return await self._attempt_with_retries(api_request, open_once)

    async def open_stream_once(
        self, api_request: ApiRequest[None], *, last_id: str, heartbeat_timeout_seconds: float
    ) -> httpx.Response:
        """Open an event stream as ``open_stream`` does, in one attempt."""
        options = self._server.build_stream_request(
            api_request, last_id=last_id, heartbeat_timeout_seconds=heartbeat_timeout_seconds
        )
        try:
            response = await self._http.send(self._http.build_request(**options), stream=True, follow_redirects=False)
            if not response.is_success:
                await response.aread()
        except httpx.RequestError as error:
            raise build_unreachable_error(api_request, error) from error
        try:
            check_event_stream(api_request, response)
        except ClientError:
            await response.aclose()
            raise
        return response

    async def aclose(self) -> None:
        """End all event streams, and close the HTTP client unless the user supplied it."""
        for stream in list(self.streams):
            await stream.aclose()
        if self._is_own:
            await self._http.aclose()

    async def _attempt_with_retries(
        self, api_request: ApiRequest[Any], send_attempt: Callable[[float], Awaitable[Result]]
    ) -> Result:
        """Call ``send_attempt`` with the seconds since the first attempt until it succeeds or the policy gives up."""
        started, attempt = self.clock.monotonic(), 0
        while True:
            try:
                return await send_attempt(self.clock.monotonic() - started)
            except ClientError as error:
                attempt += 1
                delay = self._retry_policy.compute_delay(
                    api_request, error, attempt=attempt, elapsed_seconds=self.clock.monotonic() - started
                )
                if delay is None:
                    raise
            await self.clock.sleep(delay)
