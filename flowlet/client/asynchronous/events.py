"""Events as they happen, over as many connections as it takes."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from random import Random
from types import TracebackType
from typing import Self, cast

import httpx

from flowlet.client.asynchronous.transport import AsyncTransport
from flowlet.client.errors import ClientError
from flowlet.client.events import Event, EventGap
from flowlet.client.request import ApiRequest
from flowlet.client.retry import ReconnectPolicy, is_transient
from flowlet.client.service import build_unreachable_error, shut_down_connection
from flowlet.client.sse import EventStreamParser, find_gap, parse_events

__all__ = ["AsyncEvents"]

CLOSE_CHECK_SECONDS = 0.5
"""How long a pause may last after the stream has been closed."""


class AsyncEvents:
    """The events of ``AsyncClient.follow_events``, one after another, until the stream is closed.

    The stream begins when its block is entered, or else with the first wait for an event: every event that is committed
    later comes. A connection that breaks, or on which nothing comes for too long, is made anew behind the last
    event, or where the stream began; events may then come a second time. One task at a time may wait for the next
    event; a wait that is cancelled may be begun again.

    Attributes:
        last_id: The id of the last event, with which ``after`` resumes the stream; None before the first one.
        gap: The last gap, where instances were deleted whose events had not come yet: read again what you keep of
            them. None if there was none.

    Raises:
        ApiError: From the block or the iteration, if the server refuses the request. The stream has ended then.
        UnexpectedResponseError: If the answer is no stream of events.
        UnreachableError: If the server could not be reached at the beginning; after the first connection, the stream
            connects again until it succeeds.
    """

    def __init__(
        self,
        transport: AsyncTransport,
        api_request: ApiRequest[None],
        *,
        heartbeat_timeout_seconds: float,
        random: Random,
    ) -> None:
        self.last_id: int | None = None
        self.gap: EventGap | None = None
        self._transport = transport
        self._api_request = api_request
        self._heartbeat_timeout_seconds = heartbeat_timeout_seconds
        self._reconnect_policy = ReconnectPolicy(random)
        self._parser = EventStreamParser()
        self._response: httpx.Response | None = None
        self._chunks: AsyncGenerator[bytes, None] | None = None
        self._pending_events: deque[Event] = deque()
        self._has_connected = self._is_closed = self._is_reading = False
        transport.streams.add(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        self._is_reading = True
        try:
            while not self._pending_events and not self._is_closed:
                await self._read_chunk()
        except ClientError:
            self._is_closed = True
            raise
        finally:
            self._is_reading = False
            if self._is_closed:
                await self._close_connection()
        if self._is_closed:
            raise StopAsyncIteration
        event = self._pending_events.popleft()
        self.last_id = event.id
        return event

    async def __aenter__(self) -> Self:
        self._is_reading = True
        try:
            if not self._has_connected:
                await self._connect()
        except ClientError:
            self._is_closed = True
            raise
        finally:
            self._is_reading = False
            if self._is_closed:
                await self._close_connection()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the iteration, also in another task that waits for an event."""
        self._is_closed = True
        if self._response is not None:
            shut_down_connection(self._response)
        if not self._is_reading:
            await self._close_connection()

    async def _read_chunk(self) -> None:
        """Read the next bytes, on a new connection if there is none, or pause after one has ended."""
        error: ClientError | None = None
        try:
            chunks = self._chunks or await self._connect()
            if self._is_closed:
                return
            chunk = await anext(chunks, None)
        except ClientError as problem:
            if not self._has_connected or not is_transient(problem):
                raise
            error, chunk = problem, None
        except httpx.RequestError as problem:
            error, chunk = build_unreachable_error(self._api_request, problem), None
        if chunk is not None:
            self._reconnect_policy.reset()
            messages = self._parser.parse_chunk(chunk)
            self.gap = find_gap(messages) or self.gap
            self._pending_events.extend(parse_events(messages))
            return
        await self._close_connection()
        await self._wait_to_reconnect(
            self._reconnect_policy.compute_delay(retry_milliseconds=self._parser.retry_ms, error=error)
        )

    async def _connect(self) -> AsyncGenerator[bytes, None]:
        """Return the bytes of a new connection."""
        last_id, opened = (
            self._parser.last_id,
            self._transport.open_stream_once if self._has_connected else self._transport.open_stream,
        )
        response = await opened(
            self._api_request, last_id=last_id, heartbeat_timeout_seconds=self._heartbeat_timeout_seconds
        )
        self._has_connected = True
        self._response = response
        # Where the stream begins, if this connection breaks before the first event has come.
        last_id = last_id or response.headers.get("Last-Event-ID", "")
        self._parser = EventStreamParser(last_id=last_id, retry_milliseconds=self._parser.retry_ms)
        # It is typed as an iterator, but is a generator, which has to be closed.
        self._chunks = cast("AsyncGenerator[bytes, None]", response.aiter_bytes())
        return self._chunks

    async def _close_connection(self) -> None:
        """Close the connection, if there is one."""
        chunks, self._chunks = self._chunks, None
        response, self._response = self._response, None
        if chunks is not None:
            await chunks.aclose()
        if response is not None:
            await response.aclose()

    async def _wait_to_reconnect(self, seconds: float) -> None:
        while seconds > 0 and not self._is_closed:
            await self._transport.clock.sleep(min(seconds, CLOSE_CHECK_SECONDS))
            seconds -= CLOSE_CHECK_SECONDS
