"""Server-sent events read from the bytes of an answer, in whatever pieces these come.

Source: "Server-sent events", section 9.2.6 of the HTML standard.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from flowlet.client.errors import AnswerError
from flowlet.client.models import Event

__all__ = ["LONGEST_LINE", "EventStream", "Message", "events_of"]

LONGEST_LINE = 16_000_000
"""How many bytes a line may have: what never ends is no event."""

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Message:
    """One event: its kind ("message" where the server names none), its data, and the last id given until then."""

    kind: str
    data: str
    id: str


class EventStream:
    """What has come of one answer.

    Attributes:
        last_id: The id that was given last, with data or without; empty for none.
        retry_ms: How long to wait before the next connection, in milliseconds; None where the server has not said.
    """

    def __init__(self, *, last_id: str = "", retry_ms: int | None = None) -> None:
        self.last_id = last_id
        self.retry_ms = retry_ms
        self._rest = b""
        self._is_after_return = False
        self._is_at_start = True
        self._id = last_id
        self._kind = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[Message]:
        """Take the next bytes and return the events that are whole with them.

        Raises:
            AnswerError: If a line does not end within 16 MB.
        """
        found = []
        for line in self._lines(chunk):
            message = self._read(line)
            if message is not None:
                found.append(message)
        return found

    def _lines(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the lines that end in a chunk. One ends at its CR already: its LF, if any, is skipped when it comes."""
        if self._is_after_return and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._is_after_return = False
        text = self._rest + chunk
        if self._is_at_start:
            if len(text) < len(_BOM) and _BOM.startswith(text):
                self._rest = text
                return
            text = text.removeprefix(_BOM)
            self._is_at_start = False
        *lines, self._rest = _LINE_END.split(text)
        if len(self._rest) > LONGEST_LINE:
            raise AnswerError(f"a line of the event stream does not end within {LONGEST_LINE:,} bytes.")
        self._is_after_return = bool(lines) and not self._rest and text.endswith(b"\r")
        yield from lines

    def _read(self, line: bytes) -> Message | None:
        if not line:
            return self._end()
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

    def _end(self) -> Message | None:
        """End an event, and return it if it has data; its id counts in any case."""
        kind, data, self.last_id = self._kind, self._data, self._id
        self._kind, self._data = "", []
        return Message(kind or "message", "\n".join(data), self.last_id) if data else None


def events_of(messages: list[Message]) -> list[Event]:
    """Return the events that messages tell; other kinds of messages are passed over.

    Raises:
        AnswerError: If one is not understood.
    """
    try:
        return [Event.model_validate_json(message.data) for message in messages if message.kind == "message"]
    except ValidationError as error:
        places = ", ".join(".".join(map(str, one["loc"])) or one["type"] for one in error.errors()[:3])
        raise AnswerError(f"an event of GET /api/events is not understood: {places}. Is the server newer?") from None
