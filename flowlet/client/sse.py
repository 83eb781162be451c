"""A parser of server-sent events, fed with the chunks of a response.

It is our own because httpx-sse has no bound for a line that never ends; DECISIONS.md has the comparison.

Source: "Server-sent events", section 9.2.6 of the HTML standard.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from flowlet.client.errors import UnexpectedResponseError
from flowlet.client.events import Event, EventGap

__all__ = ["MAX_LINE_BYTES", "EventStreamParser", "ServerSentEvent", "find_gap", "parse_events"]

MAX_LINE_BYTES = 16_000_000
"""The largest line, in bytes: a bound for a stream without line breaks."""

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event: its kind ("message" by default), its data, and the last id up to it."""

    kind: str
    data: str
    id: str


class EventStreamParser:
    """The parser of one response.

    Attributes:
        last_id: The last id, of an event with or without data; empty for none.
        retry_ms: The server's last ``retry:``, how long to wait before reconnecting; None if it sent none.
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
        """Return the events that the next chunk completes.

        Raises:
            UnexpectedResponseError: If a line does not end within 16 MB.
        """
        events = []
        for line in self._split_lines(chunk):
            event = self._parse_line(line)
            if event is not None:
                events.append(event)
        return events

    def _split_lines(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the lines that end in a chunk. A CR ends a line at once; an LF that follows it is skipped."""
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
        """Finish an event, and return it if it has data; its id counts in any case."""
        kind, data, self.last_id = self._kind, self._data, self._id
        self._kind, self._data = "", []
        return ServerSentEvent(kind or "message", "\n".join(data), self.last_id) if data else None


def parse_events(messages: list[ServerSentEvent]) -> list[Event]:
    """Return the events of messages; other kinds of messages are ignored.

    Raises:
        UnexpectedResponseError: If the data of a message is not an event.
    """
    try:
        return [Event.model_validate_json(message.data) for message in messages if message.kind == "message"]
    except ValidationError as error:
        places = ", ".join(".".join(map(str, one["loc"])) or one["type"] for one in error.errors()[:3])
        raise UnexpectedResponseError(
            f"GET /api/events sent an event that this client cannot read: {places}. Is the server newer?"
        ) from None


def find_gap(messages: list[ServerSentEvent]) -> EventGap | None:
    """Return the gap that the server reports in these messages; None if it reports none."""
    found = [message for message in messages if message.kind == "gap"]
    try:
        return EventGap.model_validate_json(found[-1].data) if found else None
    except ValidationError:
        raise UnexpectedResponseError("GET /api/events sent a gap that this client cannot read.") from None
