"""A stream of texts as one zlib stream whose pieces are compressed once for all clients that get them.

A piece is compressed without reference to earlier ones and ends at the boundary of a byte, so that it can follow any
other piece. The checksum at the end is computed from those of the pieces. Every client's stream is then a valid one,
although its pieces are the same objects as those of the others.

Source: P. Deutsch and J.-L. Gailly, "ZLIB Compressed Data Format Specification", RFC 1950; the sum of two checksums is
``adler32_combine`` of zlib.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

__all__ = ["DeflatedPiece", "DeflatedStream", "compress_piece"]

LEVEL = 1
"""The fastest: histories are so repetitive that the slower ones save a sixth more, for more than twice the time."""
MIN_COMPRESSED = 1_000
"""Bytes of a text from which on it is compressed: a shorter one takes longer to compress than to send."""
MAX_STORED = 65_535
"""Bytes of a block that is not compressed."""
_HEADER = b"\x78\x01"
_FINAL_BLOCK = b"\x03\x00"
_BASE = 65_521
"""The modulus of Adler-32."""


@dataclass(frozen=True, slots=True)
class DeflatedPiece:
    """A part of a stream.

    Attributes:
        body: The compressed text.
        length: The length of the text, in bytes.
        checksum: Its Adler-32.
    """

    body: bytes
    length: int
    checksum: int


def compress_piece(text: bytes) -> DeflatedPiece:
    """Return a text as a part of any stream."""
    if len(text) < MIN_COMPRESSED:
        size = len(text).to_bytes(2, "little")
        body = b"\x00" + size + (len(text) ^ MAX_STORED).to_bytes(2, "little") + text
    else:
        compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        body = compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return DeflatedPiece(body, len(text), zlib.adler32(text))


class DeflatedStream:
    """The stream of one client: its header, its pieces in order, and its end."""

    def __init__(self) -> None:
        self._checksum = zlib.adler32(b"")
        self._has_begun = False

    def add(self, piece: DeflatedPiece) -> bytes:
        """Return the bytes of a piece; before the first one, those of the header too."""
        self._checksum = _combine_checksums(self._checksum, piece.checksum, piece.length)
        if self._has_begun:
            return piece.body
        self._has_begun = True
        return _HEADER + piece.body

    def finish(self) -> bytes:
        """Return the bytes after the last piece."""
        return (b"" if self._has_begun else _HEADER) + _FINAL_BLOCK + self._checksum.to_bytes(4, "big")


def _combine_checksums(first: int, second: int, length: int) -> int:
    """Return the Adler-32 of two texts, one behind the other, from theirs; ``length`` is that of the second one."""
    low = (first & 0xFFFF) + (second & 0xFFFF) - 1
    high = (first >> 16) + (second >> 16) + length * ((first & 0xFFFF) - 1)
    return (low % _BASE) | (high % _BASE) << 16
