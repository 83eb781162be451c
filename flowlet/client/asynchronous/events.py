"""Events as they happen, over as many connections as it takes."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from random import Random
from types import TracebackType
from typing import Self, cast

import httpx

from flowlet.client.asynchronous.transport import AsyncTransport
from flowlet.client.calls import Call
from flowlet.client.errors import ClientError
from flowlet.client.models import Event
from flowlet.client.patience import Reconnection, is_passing
from flowlet.client.service import hang_up, unreachable
from flowlet.client.stream import EventStream, events_of

__all__ = ["AsyncEvents"]

NAP_SECONDS = 0.5
"""How long a rest may go on after the stream has been closed."""


class AsyncEvents:
    """The events that ``AsyncClient.events`` finds, one after another, until it is closed.

    A connection that breaks, or on which nothing comes for too long, is made anew behind the last event; events may
    then come a second time. One at a time may wait for the next one; a wait that is broken off may be begun again.

    Attributes:
        last_id: The id of the last event that came, which ``after`` takes to go on from there; None for none yet.

    Raises:
        ApiError: From the iteration, if the server refuses to tell events. It has ended then.
        AnswerError: If it tells something else.
        UnreachableError: If it could not be reached at the beginning; once there was a connection, this goes on until
            there is another one.
    """

    def __init__(self, transport: AsyncTransport, call: Call[None], *, silence_seconds: float, random: Random) -> None:
        self.last_id: int | None = None
        self._transport = transport
        self._call = call
        self._silence_seconds = silence_seconds
        self._reconnection = Reconnection(random)
        self._stream = EventStream()
        self._response: httpx.Response | None = None
        self._chunks: AsyncGenerator[bytes, None] | None = None
        self._arrived: deque[Event] = deque()
        self._has_begun = self._is_closed = self._is_reading = False
        transport.streams.add(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        self._is_reading = True
        try:
            while not self._arrived and not self._is_closed:
                await self._read()
        except ClientError:
            self._is_closed = True
            raise
        finally:
            self._is_reading = False
            if self._is_closed:
                await self._drop()
        if self._is_closed:
            raise StopAsyncIteration
        event = self._arrived.popleft()
        self.last_id = event.id
        return event

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the iteration, also one that waits for an event elsewhere."""
        self._is_closed = True
        if self._response is not None:
            hang_up(self._response)
        if not self._is_reading:
            await self._drop()

    async def _read(self) -> None:
        """Take what comes next, on a new connection if there is none, or rest where one has ended."""
        error: ClientError | None = None
        try:
            chunks = self._chunks or await self._connect()
            if self._is_closed:
                return
            chunk = await anext(chunks, None)
        except ClientError as problem:
            if not self._has_begun or not is_passing(problem):
                raise
            error, chunk = problem, None
        except httpx.RequestError as problem:
            error, chunk = unreachable(self._call, problem), None
        if chunk is not None:
            self._reconnection.succeed()
            self._arrived.extend(events_of(self._stream.feed(chunk)))
            return
        await self._drop()
        await self._rest(self._reconnection.delay(retry_ms=self._stream.retry_ms, error=error))

    async def _connect(self) -> AsyncGenerator[bytes, None]:
        """Return what comes on a new connection."""
        last_id, opened = self._stream.last_id, self._transport.reopen if self._has_begun else self._transport.open
        response = await opened(self._call, last_id=last_id, silence_seconds=self._silence_seconds)
        self._has_begun = True
        self._response = response
        self._stream = EventStream(last_id=last_id, retry_ms=self._stream.retry_ms)
        # Typed as an iterator, and a generator, which has to be closed.
        self._chunks = cast("AsyncGenerator[bytes, None]", response.aiter_bytes())
        return self._chunks

    async def _drop(self) -> None:
        """Close the connection, if there is one."""
        chunks, self._chunks = self._chunks, None
        response, self._response = self._response, None
        if chunks is not None:
            await chunks.aclose()
        if response is not None:
            await response.aclose()

    async def _rest(self, seconds: float) -> None:
        while seconds > 0 and not self._is_closed:
            await self._transport.clock.sleep(min(seconds, NAP_SECONDS))
            seconds -= NAP_SECONDS
