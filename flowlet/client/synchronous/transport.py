# Made of flowlet/client/asynchronous/transport.py by `make client`. Change that one, not this one.
"""Sending requests and reading answers, once or, where that is safe, until one comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

import httpx

from flowlet.client.calls import ApiRequest
from flowlet.client.errors import ClientError
from flowlet.client.patience import RetryPolicy
from flowlet.client.service import ApiServer, check_event_stream, build_unreachable_error
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
        service: ApiServer,
        http: httpx.Client | httpx.BaseTransport | None,
        patience: RetryPolicy,
        clock: Clock,
    ) -> None:
        self._service = service
        self._is_own = not isinstance(http, httpx.Client)
        self._http = http if isinstance(http, httpx.Client) else httpx.Client(transport=http)
        self._patience = patience
        self.clock = clock
        self.streams: WeakSet[Closeable] = WeakSet()

    def send(self, call: ApiRequest[Result]) -> Result:
        """Send a request, again where that is safe and may help, and return what its answer comes to.

        Raises:
            ApiError: If the server answers with an error.
            AnswerError: If the answer is not understood.
            UnreachableError: If none comes.
            TypeError: If a value has no form in JSON.
        """

        def send_once(elapsed: float) -> Result:
            request = self._http.build_request(**self._service.build_request(call, elapsed_seconds=elapsed))
            try:
                response = self._http.send(request, follow_redirects=False)
            except httpx.RequestError as error:
                raise build_unreachable_error(call, error) from error
            return self._service.read_result(call, response)

        return self._patiently(call, send_once)

    def open(self, call: ApiRequest[None], *, last_id: str, silence_seconds: float) -> httpx.Response:
        """Return the answer of a stream, again where that may help; close it.

        Args:
            call: The request.
            last_id: The last event that is known; empty for none.
            silence_seconds: For how long nothing at all may come before the connection counts as dead.

        Raises:
            ApiError: If the server answers with an error.
            AnswerError: If the answer is no stream of events.
            UnreachableError: If none comes.
        """

        def open_once(_: float) -> httpx.Response:
            return self.reopen(call, last_id=last_id, silence_seconds=silence_seconds)

        return self._patiently(call, open_once)

    def reopen(self, call: ApiRequest[None], *, last_id: str, silence_seconds: float) -> httpx.Response:
        """Return the answer of a stream as ``open`` does, in one attempt."""
        options = self._service.build_stream_request(call, last_id=last_id, heartbeat_timeout_seconds=silence_seconds)
        try:
            response = self._http.send(self._http.build_request(**options), stream=True, follow_redirects=False)
            if not response.is_success:
                response.read()
        except httpx.RequestError as error:
            raise build_unreachable_error(call, error) from error
        try:
            check_event_stream(call, response)
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

    def _patiently(self, call: ApiRequest[Any], attempt: Callable[[float], Result]) -> Result:
        """Make an attempt, given the seconds since the first one, until it succeeds or no other one may follow."""
        begun, count = self.clock.monotonic(), 0
        while True:
            try:
                return attempt(self.clock.monotonic() - begun)
            except ClientError as error:
                count += 1
                delay = self._patience.compute_delay(call, error, attempt=count, elapsed_seconds=self.clock.monotonic() - begun)
                if delay is None:
                    raise
            self.clock.block(delay)
