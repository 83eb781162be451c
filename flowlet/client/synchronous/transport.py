# Made of flowlet/client/asynchronous/transport.py by `make client`. Change that one, not this one.
"""Sending requests and reading answers, once or, where that is safe, until one comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

import httpx

from flowlet.client.errors import ClientError
from flowlet.client.request import ApiRequest
from flowlet.client.retry import RetryPolicy
from flowlet.client.service import ApiServer, build_unreachable_error, check_event_stream
from flowlet.clock import Clock

__all__ = ["Closeable", "Transport"]

Result = TypeVar("Result")


class Closeable(Protocol):
    """What has to be closed before the client is."""

    def close(self) -> None:
        """End it."""
        ...


class Transport:
    """One server, and the HTTP client that speaks to it.

    Args:
        service: The server.
        http: A client, which stays open when this is closed; a transport, of which a client is made; None for one that
            httpx makes by itself.
        patience: How often and for how long a request is sent again.
        clock: What waits in between.
    """

    def __init__(
        self,
        server: ApiServer,
        http: httpx.Client | httpx.BaseTransport | None,
        retry_policy: RetryPolicy,
        clock: Clock,
    ) -> None:
        self._server = server
        self._is_own = not isinstance(http, httpx.Client)
        self._http = http if isinstance(http, httpx.Client) else httpx.Client(transport=http)
        self._retry_policy = retry_policy
        self.clock = clock
        self.streams: WeakSet[Closeable] = WeakSet()

    def send(self, api_request: ApiRequest[Result]) -> Result:
        """Send a request, again where that is safe and may help, and return what its answer comes to.

        Raises:
            ApiError: If the server answers with an error.
            AnswerError: If the answer is not understood.
            UnreachableError: If none comes.
            TypeError: If a value has no form in JSON.
        """

        def send_once(elapsed_seconds: float) -> Result:
            request = self._http.build_request(
                **self._server.build_request(api_request, elapsed_seconds=elapsed_seconds)
            )
            try:
                response = self._http.send(request, follow_redirects=False)
            except httpx.RequestError as error:
                raise build_unreachable_error(api_request, error) from error
            return self._server.read_result(api_request, response)

        return self._attempt_with_retries(api_request, send_once)

    def open_stream(
        self, api_request: ApiRequest[None], *, last_id: str, heartbeat_timeout_seconds: float
    ) -> httpx.Response:
        """Return the answer of a stream, again where that may help; close it.

        Args:
            api_request: The request.
            last_id: The last event that is known; empty for none.
            heartbeat_timeout_seconds: For how long nothing at all may come before the connection counts as dead.

        Raises:
            ApiError: If the server answers with an error.
            AnswerError: If the answer is no stream of events.
            UnreachableError: If none comes.
        """

        def open_once(_: float) -> httpx.Response:
            return self.open_stream_once(
                api_request, last_id=last_id, heartbeat_timeout_seconds=heartbeat_timeout_seconds
            )

        return self._attempt_with_retries(api_request, open_once)

    def open_stream_once(
        self, api_request: ApiRequest[None], *, last_id: str, heartbeat_timeout_seconds: float
    ) -> httpx.Response:
        """Return the answer of a stream as ``open`` does, in one attempt."""
        options = self._server.build_stream_request(
            api_request, last_id=last_id, heartbeat_timeout_seconds=heartbeat_timeout_seconds
        )
        try:
            response = self._http.send(self._http.build_request(**options), stream=True, follow_redirects=False)
            if not response.is_success:
                response.read()
        except httpx.RequestError as error:
            raise build_unreachable_error(api_request, error) from error
        try:
            check_event_stream(api_request, response)
        except ClientError:
            response.close()
            raise
        return response

    def close(self) -> None:
        """End all streams, and close the HTTP client unless it is the user's."""
        for stream in list(self.streams):
            stream.close()
        if self._is_own:
            self._http.close()

    def _attempt_with_retries(self, api_request: ApiRequest[Any], send_attempt: Callable[[float], Result]) -> Result:
        """Make an attempt, given the seconds since the first one, until it succeeds or no other one may follow."""
        begun, count = self.clock.monotonic(), 0
        while True:
            try:
                return send_attempt(self.clock.monotonic() - begun)
            except ClientError as error:
                count += 1
                delay = self._retry_policy.compute_delay(
                    api_request, error, attempt=count, elapsed_seconds=self.clock.monotonic() - begun
                )
                if delay is None:
                    raise
            self.clock.block(delay)
