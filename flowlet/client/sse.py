"""A parser of server-sent events, which takes the bytes of an answer in pieces of any size.

Source: "Server-sent events", section 9.2.6 of the HTML standard.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from flowlet.client.errors import UnexpectedResponseError
from flowlet.client.models import Event

__all__ = ["MAX_LINE_BYTES", "EventStreamParser", "ServerSentEvent", "parse_events"]

MAX_LINE_BYTES = 16_000_000
"""The most bytes of a line: a longer one is no event."""

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event: its kind ("message" if the server names none), its data, and the last id up to then."""

    kind: str
    data: str
    id: str


class EventStreamParser:
    """The parser of one answer.

    Attributes:
        last_id: The last id, of an event with data or without; empty for none.
        retry_ms: How long to wait before the next connection, in milliseconds; None if the server has not said so.
    """

    def __init__(self, *, last_id: str = "", retry_milliseconds: int | None = None) -> None:
        self.last_id = last_id
        self.retry_ms = retry_milliseconds
        self._buffer = b""
        self._is_after_carriage_return = False
        self._is_at_start = True
        self._id = last_id
        self._kind = ""
        self._data: list[str] = []

    def parse_chunk(self, chunk: bytes) -> list[ServerSentEvent]:
        """Parse the next bytes and return the events that they complete.

        Raises:
            UnexpectedResponseError: If a line does not end within 16 MB.
        """
        found = []
        for line in self._split_lines(chunk):
            message = self._parse_line(line)
            if message is not None:
                found.append(message)
        return found

    def _split_lines(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the lines that end in a chunk. One ends at its CR already: its LF, if any, is skipped when it comes."""
        if self._is_after_carriage_return and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._is_after_carriage_return = False
        text = self._buffer + chunk
        if self._is_at_start:
            if len(text) < len(_BOM) and _BOM.startswith(text):
                self._buffer = text
                return
            text = text.removeprefix(_BOM)
            self._is_at_start = False
        *lines, self._buffer = _LINE_END.split(text)
        if len(self._buffer) > MAX_LINE_BYTES:
            raise UnexpectedResponseError(f"a line of the event stream does not end within {MAX_LINE_BYTES:,} bytes.")
        self._is_after_carriage_return = bool(lines) and not self._buffer and text.endswith(b"\r")
        yield from lines

    def _parse_line(self, line: bytes) -> ServerSentEvent | None:
        if not line:
            return self._finish_event()
        name, _, value = line.decode(errors="replace").partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._kind = value
        elif name == "id" and "\x00" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit() and len(value) < 10:
            self.retry_ms = int(value)
        return None

    def _finish_event(self) -> ServerSentEvent | None:
        """End an event, and return it if it has data; its id counts in any case."""
        kind, data, self.last_id = self._kind, self._data, self._id
        self._kind, self._data = "", []
        return ServerSentEvent(kind or "message", "\n".join(data), self.last_id) if data else None


def parse_events(messages: list[ServerSentEvent]) -> list[Event]:
    """Return the events of messages; messages of other kinds are ignored.

    Raises:
        UnexpectedResponseError: If a message is not an event.
    """
    try:
        return [Event.model_validate_json(message.data) for message in messages if message.kind == "message"]
    except ValidationError as error:
        places = ", ".join(".".join(map(str, one["loc"])) or one["type"] for one in error.errors()[:3])
        raise UnexpectedResponseError(
            f"an event of GET /api/events is not understood: {places}. Is the server newer?"
        ) from None
