# Made of flowlet/client/asynchronous/events.py by `make client`. Change that one, not this one.
"""Events as they happen, over as many connections as it takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from random import Random
from types import TracebackType
from typing import Self, cast

import httpx

from flowlet.client.calls import ApiRequest
from flowlet.client.errors import ClientError
from flowlet.client.models import Event
from flowlet.client.patience import ReconnectPolicy, is_transient
from flowlet.client.service import shut_down_connection, build_unreachable_error
from flowlet.client.stream import EventStreamParser, parse_events
from flowlet.client.synchronous.transport import Transport

__all__ = ["Events"]

NAP_SECONDS = 0.5
"""How long a rest may go on after the stream has been closed."""


class Events:
    """The events that ``Client.events`` finds, one after another, until it is closed.

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

    def __init__(self, transport: Transport, call: ApiRequest[None], *, silence_seconds: float, random: Random) -> None:
        self.last_id: int | None = None
        self._transport = transport
        self._call = call
        self._silence_seconds = silence_seconds
        self._reconnection = ReconnectPolicy(random)
        self._stream = EventStreamParser()
        self._response: httpx.Response | None = None
        self._chunks: Generator[bytes, None, None] | None = None
        self._arrived: deque[Event] = deque()
        self._has_begun = self._is_closed = self._is_reading = False
        transport.streams.add(self)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        self._is_reading = True
        try:
            while not self._arrived and not self._is_closed:
                self._read()
        except ClientError:
            self._is_closed = True
            raise
        finally:
            self._is_reading = False
            if self._is_closed:
                self._drop()
        if self._is_closed:
            raise StopIteration
        event = self._arrived.popleft()
        self.last_id = event.id
        return event

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration, also one that waits for an event elsewhere."""
        self._is_closed = True
        if self._response is not None:
            shut_down_connection(self._response)
        if not self._is_reading:
            self._drop()

    def _read(self) -> None:
        """Take what comes next, on a new connection if there is none, or rest where one has ended."""
        error: ClientError | None = None
        try:
            chunks = self._chunks or self._connect()
            if self._is_closed:
                return
            chunk = next(chunks, None)
        except ClientError as problem:
            if not self._has_begun or not is_transient(problem):
                raise
            error, chunk = problem, None
        except httpx.RequestError as problem:
            error, chunk = build_unreachable_error(self._call, problem), None
        if chunk is not None:
            self._reconnection.reset()
            self._arrived.extend(parse_events(self._stream.parse_chunk(chunk)))
            return
        self._drop()
        self._rest(self._reconnection.compute_delay(retry_milliseconds=self._stream.retry_ms, error=error))

    def _connect(self) -> Generator[bytes, None, None]:
        """Return what comes on a new connection."""
        last_id, opened = self._stream.last_id, self._transport.reopen if self._has_begun else self._transport.open
        response = opened(self._call, last_id=last_id, silence_seconds=self._silence_seconds)
        self._has_begun = True
        self._response = response
        self._stream = EventStreamParser(last_id=last_id, retry_milliseconds=self._stream.retry_ms)
        # Typed as an iterator, and a generator, which has to be closed.
        self._chunks = cast("Generator[bytes, None, None]", response.iter_bytes())
        return self._chunks

    def _drop(self) -> None:
        """Close the connection, if there is one."""
        chunks, self._chunks = self._chunks, None
        response, self._response = self._response, None
        if chunks is not None:
            chunks.close()
        if response is not None:
            response.close()

    def _rest(self, seconds: float) -> None:
        while seconds > 0 and not self._is_closed:
            self._transport.clock.block(min(seconds, NAP_SECONDS))
            seconds -= NAP_SECONDS
