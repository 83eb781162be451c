"""Server-sent events, however the bytes come."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flowlet.client.errors import UnexpectedResponseError
from flowlet.client.sse import MAX_LINE_BYTES, EventStreamParser, ServerSentEvent

FIELD_NAMES = st.sampled_from(
    [b"data", b"data:", b"data: ", b"id: ", b"id", b"event: ", b"retry: ", b": ", b"\xef\xbb\xbfdata: ", b""]
)
FIELD_VALUES = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=8).map(str.encode)
LINE_ENDS = st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r"])
STREAM_TEXTS = st.lists(
    st.tuples(FIELD_NAMES, FIELD_VALUES | st.just(b"12"), LINE_ENDS).map(b"".join), max_size=12
).map(b"".join)


@st.composite
def draw_chunks(draw: st.DrawFn) -> list[bytes]:
    """Return a stream in pieces that begin and end anywhere."""
    text = draw(STREAM_TEXTS)
    places = sorted(draw(st.sets(st.integers(0, len(text)), max_size=len(text))) | {0, len(text)})
    return [text[begin:end] for begin, end in pairwise(places)]


@given(draw_chunks())
@example([b"data: a\r", b"\ndata: b\r\n\r", b"\n"])
def test_the_pieces_in_which_a_stream_comes_make_no_difference(chunks: list[bytes]) -> None:
    whole, text = EventStreamParser(), b"".join(chunks)
    found = whole.parse_chunk(text)

    for pieces in (chunks, [bytes([byte]) for byte in text]):
        stream = EventStreamParser()
        assert [message for piece in pieces for message in stream.parse_chunk(piece)] == found
        assert (stream.last_id, stream.retry_ms) == (whole.last_id, whole.retry_ms)


@given(st.lists(FIELD_VALUES.filter(lambda value: not value.startswith(b"\xef\xbb\xbf")), min_size=1), draw_chunks())
def test_data_comes_back_as_it_was_sent(lines: list[bytes], noise: list[bytes]) -> None:
    stream = EventStreamParser()
    stream.parse_chunk(b"".join(noise) + b"\n\n\n")

    (message,) = stream.parse_chunk(b"".join(b"data: %b\r\n" % line for line in lines) + b"\r\n")

    assert message.data == b"\n".join(lines).decode()


@given(st.binary(max_size=200))
def test_no_bytes_whatever_are_an_error(junk: bytes) -> None:
    EventStreamParser().parse_chunk(junk)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data: one\n\n", [ServerSentEvent("message", "one", "")]),
        ("data:one\ndata: two\n\n", [ServerSentEvent("message", "one\ntwo", "")]),
        ("data\n\n", [ServerSentEvent("message", "", "")]),
        ("data:  two spaces\n\n", [ServerSentEvent("message", " two spaces", "")]),
        ("id: 7\ndata: x\n\ndata: y\n\n", [ServerSentEvent("message", "x", "7"), ServerSentEvent("message", "y", "7")]),
        ("id: 7\n\ndata: x\n\n", [ServerSentEvent("message", "x", "7")]),
        (
            "id: 7\ndata: x\n\nid\ndata: y\n\n",
            [ServerSentEvent("message", "x", "7"), ServerSentEvent("message", "y", "")],
        ),
        ("id: 7\nid: 8\x009\ndata: x\n\n", [ServerSentEvent("message", "x", "7")]),
        (
            "event: beat\ndata: x\n\ndata: y\n\n",
            [ServerSentEvent("beat", "x", ""), ServerSentEvent("message", "y", "")],
        ),
        ("event: beat\n\ndata: y\n\n", [ServerSentEvent("message", "y", "")]),
        (": a comment\n\n:\n\nother: field\n\nData: x\n\n", []),
        ("data: not whole\n", []),
        ("﻿data: x\n\n﻿data: y\n\n", [ServerSentEvent("message", "x", "")]),
        ("data: a\u2028b\x85c\x0bd\n\n", [ServerSentEvent("message", "a\u2028b\x85c\x0bd", "")]),
        ("data: a:b\r\n\r\n", [ServerSentEvent("message", "a:b", "")]),
    ],
)
def test_a_stream_is_read_as_the_standard_says(text: str, expected: list[ServerSentEvent]) -> None:
    assert EventStreamParser().parse_chunk(text.encode()) == expected


def test_an_id_counts_when_its_event_has_ended() -> None:
    stream = EventStreamParser(last_id="6")
    stream.parse_chunk(b"id: 7\ndata: x\n")
    before = stream.last_id

    stream.parse_chunk(b"\n")

    assert (before, stream.last_id) == ("6", "7")


@pytest.mark.parametrize(
    ("text", "expected"), [("500", 500), ("0", 0), ("-1", None), ("1.5", None), ("٣", None), ("", None)]
)
def test_how_long_to_wait_is_a_whole_number(text: str, expected: int | None) -> None:
    stream = EventStreamParser()

    stream.parse_chunk(f"retry: {text}\n\n".encode())

    assert stream.retry_ms == expected


def test_a_line_that_never_ends_is_no_event() -> None:
    stream = EventStreamParser()
    stream.parse_chunk(b"data: " + b"x" * (MAX_LINE_BYTES - 10))

    with pytest.raises(UnexpectedResponseError, match="does not end within 16,000,000 bytes"):
        stream.parse_chunk(b"x" * 10)
