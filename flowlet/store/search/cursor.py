"""The cursor of a search: the end of a page, as a text that a client sends back to get the next page."""

from __future__ import annotations

import base64
import binascii
import re
import zlib

from flowlet.text import MAX_INTEGER

__all__ = ["decode_cursor", "encode_cursor"]

_MAX_LENGTH = 200
_POSITION = re.compile(r"(-?\d{1,19})\.(\d{1,19})", re.ASCII)


def encode_cursor(order: str, key: int, id: int) -> str:
    """Return the cursor of a row: its sort key and its id, with the name of the order."""
    place = f"{order}.{key}.{id}"
    return base64.urlsafe_b64encode(f"{zlib.crc32(place.encode()):08x}.{place}".encode()).decode().rstrip("=")


def decode_cursor(text: str, order: str) -> tuple[int, int]:
    """Return the sort key and the id that a cursor holds.

    The checksum detects a text that was cut or mistyped; it is no secret, and a cursor grants no permission.

    Raises:
        ValueError: If the text is not a cursor, or the cursor of another order.
    """
    try:
        decoded = base64.b64decode(text[:_MAX_LENGTH] + "=" * (-len(text) % 4), altchars="-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise ValueError("is not a cursor that a search gave: take it whole, or leave it out") from None
    checksum, _, place = decoded.partition(".")
    if len(text) > _MAX_LENGTH or checksum != f"{zlib.crc32(place.encode()):08x}":
        raise ValueError("is not a cursor that a search gave: take it whole, or leave it out")
    given, _, numbers = place.partition(".")
    found = _POSITION.fullmatch(numbers)
    if given != order:
        raise ValueError("belongs to a search in another order: keep the order, or leave the cursor out")
    if found is None or not (-MAX_INTEGER <= int(found[1]) <= MAX_INTEGER and int(found[2]) <= MAX_INTEGER):
        raise ValueError("is not a cursor that a search gave: take it whole, or leave it out")
    return int(found[1]), int(found[2])
