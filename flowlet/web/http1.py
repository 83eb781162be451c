"""Hypercorn's HTTP/1.1 protocol with three corrections for a server on the open internet."""

from __future__ import annotations

from dataclasses import replace

import h11
from hypercorn.events import Closed, Event, Updated
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import Response
from hypercorn.protocol.h11 import H11Protocol

__all__ = ["Http1Protocol"]


class Http1Protocol(H11Protocol):
    """HTTP/1.1 without upgrades to HTTP/2, and with ``Connection: close`` where the server closes the connection.

    It ignores ``Upgrade: h2c``, as RFC 9110 permits. A client that upgrades to HTTP/2 behind a proxy bypasses the
    proxy's rules; and hypercorn, which has no setting for it, logs a traceback for each malformed ``HTTP2-Settings``.

    If the server responds before the request's body has arrived, such as 401 without a key, it closes the connection.
    Hypercorn does not announce that, so the client's next request would fail.

    A connection that the client has closed ends at once. Hypercorn keeps it, with its socket and its tasks, until the
    time for idle connections is over.
    """

    _has_ended = False

    async def handle(self, event: Event) -> None:
        """Receive bytes, or the end of the connection."""
        self._has_ended = self._has_ended or isinstance(event, Closed)
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
        """Get ready for the next request, after a response."""
        await super()._maybe_recycle()
        await self._end_wait_for_requests()

    async def _end_wait_for_requests(self) -> None:
        """Let a connection that has ended wait for no further request, also if its last response ended later."""
        if self._has_ended:
            await self.send(Updated(idle=False))
