"""Compressed streams: whatever pieces are joined, a client reads their texts and a checksum that is right."""

from __future__ import annotations

import zlib

import httpx
from hypothesis import given
from hypothesis import strategies as st

from flowlet.engine.event_stream import EventBatch
from flowlet.web.api.deflated_stream import MIN_COMPRESSED, DeflatedStream, compress_piece
from flowlet.web.api.event_encoder import DeflatedEvents, EventEncoder
from tests.web.api.api_harness import ApiHarness
from tests.web.http_server import serve_app

TEXTS = st.lists(
    st.tuples(st.binary(max_size=40), st.sampled_from([1, 3, MIN_COMPRESSED, 70_000])).map(lambda one: one[0] * one[1]),
    max_size=6,
)
"""Short texts and long ones, some of which are compressed and some not."""


@given(TEXTS)
def test_any_pieces_are_one_stream(texts: list[bytes]) -> None:
    stream, reader = DeflatedStream(), zlib.decompressobj()

    read = [reader.decompress(stream.add(compress_piece(text))) for text in texts]
    rest = reader.decompress(stream.finish())

    assert read == texts  # each is complete when it has come
    assert (rest, reader.eof, reader.unused_data) == (b"", True, b"")  # eof: the checksum is that of all texts


def test_a_long_text_is_compressed_and_a_short_one_is_not() -> None:
    event = b'data: {"type":"TRANSITION","state":"shipped"}\n\n'

    assert len(compress_piece(event * 1000).body) < len(event) * 1000 / 20
    assert event in compress_piece(event).body


def test_a_batch_is_compressed_once_for_all_followers() -> None:
    encoder, batch = EventEncoder(lambda _: b""), EventBatch(7)

    first, second = DeflatedEvents(encoder), DeflatedEvents(encoder)

    assert first.write_batch(batch) == second.write_batch(batch)
    assert encoder.deflate_batch(batch) is encoder.deflate_batch(batch)


async def test_followers_get_the_same_events_with_compression_and_without(sqlite_api_harness: ApiHarness) -> None:
    for _ in range(8):
        await sqlite_api_harness.create()
    key = {"X-API-Key": sqlite_api_harness.app_harness.keys["viewer"]}
    answers: dict[str, httpx.Response] = {}

    async with serve_app(sqlite_api_harness.app_harness.app) as client:
        for accepted in ("identity", "gzip", "deflate;q=0", "gzip, deflate"):
            headers = {**key, "Accept-Encoding": accepted}
            async with client.stream("GET", "/api/events?after=0&limit=8", headers=headers) as answer:
                raw = b"".join([piece async for piece in answer.aiter_raw()])
            reader = zlib.decompressobj()
            is_deflated = answer.headers.get("Content-Encoding") == "deflate"
            answers[accepted] = httpx.Response(200, content=reader.decompress(raw) if is_deflated else raw)
            assert is_deflated == (accepted == "gzip, deflate")
            assert reader.eof == is_deflated
            assert answer.headers["Vary"] == "Accept-Encoding"

    assert len({answer.content for answer in answers.values()}) == 1
    assert answers["identity"].text.count('"type":"CREATED"') == 8
