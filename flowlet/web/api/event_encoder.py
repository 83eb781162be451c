"""The text of events as server-sent events, encoded once for all followers."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

from flowlet.engine.event_stream import EventBatch, EventDelivery
from flowlet.instance.json_text import write_json
from flowlet.web.api.deflated_stream import DeflatedPiece, DeflatedStream, compress_piece

__all__ = ["DeflatedEvents", "EventEncoder", "PlainEvents"]


class EventEncoder:
    """Encodes events, and keeps the text as long as the event may be delivered again.

    Each event is encoded once, and the text of a batch is joined once for all followers that share it. Encoding anew
    for each of 20 followers cost the engine in the same process two thirds of its throughput.

    Args:
        encode_event: Returns the JSON text of an event.
    """

    def __init__(self, encode_event: Callable[[EventDelivery], bytes]) -> None:
        self._encode_event = encode_event
        self._deliveries: WeakKeyDictionary[EventDelivery, bytes] = WeakKeyDictionary()
        self._batches: WeakKeyDictionary[EventBatch, bytes] = WeakKeyDictionary()
        self._deflated: WeakKeyDictionary[EventBatch, DeflatedPiece] = WeakKeyDictionary()

    def encode_batch(self, batch: EventBatch) -> bytes:
        """Return the text of a batch. An id alone is no event: it is where to resume.

        An event of the type ``gap`` says that events were deleted before they could come.
        """
        text = self._batches.get(batch)
        if text is None:
            events = b"".join(map(self.encode_delivery, batch.deliveries)) or b": \nid: %d\n\n" % batch.position
            text = self._batches[batch] = _encode_gap(batch) + events
        return text

    def encode_beat(self, batch: EventBatch) -> bytes:
        """Return the text of a current batch without events as an event of the type ``beat``.

        A browser tells its page nothing of comments.
        """
        return b"%sevent: beat\ndata: {}\nid: %d\n\n" % (_encode_gap(batch), batch.position)

    def deflate_batch(self, batch: EventBatch) -> DeflatedPiece:
        """Return the text of a batch, compressed."""
        piece = self._deflated.get(batch)
        if piece is None:
            piece = self._deflated[batch] = compress_piece(self.encode_batch(batch))
        return piece

    def encode_delivery(self, delivery: EventDelivery) -> bytes:
        """Return the text of one event."""
        text = self._deliveries.get(delivery)
        if text is None:
            text = b"id: %d\ndata: %s\n\n" % (delivery.position, self._encode_event(delivery))
            self._deliveries[delivery] = text
        return text


class PlainEvents:
    """The body of one follower's response.

    Args:
        encoder: The texts that all followers share.
    """

    def __init__(self, encoder: EventEncoder) -> None:
        self._encoder = encoder

    def write_batch(self, batch: EventBatch) -> bytes:
        """Return the bytes of a batch."""
        return self._encoder.encode_batch(batch)

    def write_text(self, text: bytes) -> bytes:
        """Return the bytes of a text that no other follower gets."""
        return text

    def finish(self) -> bytes:
        """Return the bytes after the last one; none if the client is gone."""
        return b""


class DeflatedEvents(PlainEvents):
    """The same for a client that accepts compression: a sixteenth of the bytes, which are compressed once for all.

    To copy the text to each of 200 followers took more time than the engine's own work.
    """

    def __init__(self, encoder: EventEncoder) -> None:
        super().__init__(encoder)
        self._stream = DeflatedStream()

    def write_batch(self, batch: EventBatch) -> bytes:
        """Return the bytes of a batch."""
        return self._stream.add(self._encoder.deflate_batch(batch))

    def write_text(self, text: bytes) -> bytes:
        """Return the bytes of a text that no other follower gets."""
        return self._stream.add(compress_piece(text))

    def finish(self) -> bytes:
        """Return the end of the compressed stream."""
        return self._stream.finish()


def _encode_gap(batch: EventBatch) -> bytes:
    if not batch.gap_end:
        return b""
    return b"event: gap\ndata: %s\n\n" % write_json({"after": batch.position, "until": batch.gap_end}).encode()
