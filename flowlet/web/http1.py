"""HTTP/1.1 as hypercorn speaks it, but for two things that a server on the open net does better otherwise."""

from __future__ import annotations

from dataclasses import replace

import h11
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import Response
from hypercorn.protocol.h11 import H11Protocol

__all__ = ["Http1Protocol"]


class Http1Protocol(H11Protocol):
    """HTTP/1.1 that stays HTTP/1.1, and says so when it is about to end the connection.

    An ``Upgrade: h2c`` is passed over, as RFC 9110 lets a server do. A client that changes to HTTP/2 behind a proxy
    gets past whatever the proxy forbids; and hypercorn, which has no setting for it, logs a traceback for each
    ``HTTP2-Settings`` that cannot be read.

    A request that is answered before its body has come, as one without a key is, ends the connection. Hypercorn does
    not tell: the client's next request would then find nobody.
    """

    async def stream_send(self, event: StreamEvent) -> None:
        """Send a part of an answer."""
        if isinstance(event, Response) and self.connection.their_state is h11.SEND_BODY:
            event = replace(event, headers=[*event.headers, (b"connection", b"close")])
        await super().stream_send(event)

    async def _check_protocol(self, event: h11.Request) -> None:
        """Go on with the request as it is."""
