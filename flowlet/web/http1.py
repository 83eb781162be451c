"""Hypercorn's HTTP/1.1 protocol with four corrections for a server on the open internet."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import h11
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import Response
from hypercorn.protocol.h11 import H11Protocol

__all__ = ["Http1Protocol"]

LINGER_SECONDS = 1.0
MAX_DISCARDED_BYTES = 16_777_216
"""How long, and how much, the server reads on after a response that did not wait for the request's body."""


class Http1Protocol(H11Protocol):
    """HTTP/1.1 without upgrades to HTTP/2, and with ``Connection: close`` where the server closes the connection.

    It ignores ``Upgrade: h2c``, as RFC 9110 permits. A client that upgrades to HTTP/2 behind a proxy bypasses the
    proxy's rules; and hypercorn, which has no setting for it, logs a traceback for each malformed ``HTTP2-Settings``.

    If the server responds before the request's body has arrived, such as 401 without a key, it closes the connection.
    Hypercorn does not announce that, so the client's next request would fail. It also reads and discards the rest of
    the body for a moment (RFC 9112, section 9.6): a connection that is closed with unread bytes is reset, and the
    client, which is still sending, loses the response.

    A connection that the client has closed ends at once. Hypercorn keeps it, with its socket and its tasks, until the
    time for idle connections is over.
    """

    _has_ended = False
    _discarded: asyncio.Event | None = None
    _discarded_bytes = 0

    async def handle(self, event: Event) -> None:
        """Receive bytes, or the end of the connection."""
        self._has_ended = self._has_ended or isinstance(event, Closed)
        if self._discarded is not None and isinstance(event, RawData):
            self._discarded_bytes += len(event.data)
            self.connection.receive_data(event.data)
            if self._has_received_all():
                self._discarded.set()
            return
        if self._discarded is not None:
            self._discarded.set()
        await super().handle(event)
        await self._end_wait_for_requests()

    async def stream_send(self, event: StreamEvent) -> None:
        """Send a part of a response."""
        if isinstance(event, Response) and self.connection.their_state is h11.SEND_BODY:
            event = replace(event, headers=[*event.headers, (b"connection", b"close")])
        await super().stream_send(event)

    async def _check_protocol(self, event: h11.Request) -> None:
        """Keep HTTP/1.1, whatever the request's ``Upgrade`` header says."""

    async def _maybe_recycle(self) -> None:
        """Get ready for the next request, after a response; or close the connection."""
        if self.connection.their_state is h11.SEND_BODY and not self._has_ended:
            await self._discard_body()
        await super()._maybe_recycle()
        await self._end_wait_for_requests()

    async def _discard_body(self) -> None:
        """Read the rest of the request's body for a moment, unless the client has waited for leave to send it."""
        if self.connection.they_are_waiting_for_100_continue or self._has_received_all():
            return
        self._discarded = asyncio.Event()
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                await self._discarded.wait()

    def _has_received_all(self) -> bool:
        """Discard what has been received of the body, and return whether no more of it is to come, or to be read."""
        try:
            while isinstance(event := self.connection.next_event(), h11.Data):
                pass
        except h11.RemoteProtocolError:
            return True
        return event is not h11.NEED_DATA or self._discarded_bytes > MAX_DISCARDED_BYTES

    async def _end_wait_for_requests(self) -> None:
        """Let a connection that has ended wait for no further request, also if its last response ended later."""
        if self._has_ended:
            await self.send(Updated(idle=False))
