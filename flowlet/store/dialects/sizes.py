"""The size of what is sent to a database, compared with what the database accepts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from flowlet.errors import TooLargeError

__all__ = ["MAX_BYTES_PER_CHARACTER", "SizeLimit", "measure_utf8", "split_by_length"]

T = TypeVar("T")
MAX_BYTES_PER_CHARACTER = 4
"""How many bytes a character of a text takes at most: in UTF-8, or as an escape sequence of two characters."""


@dataclass(frozen=True, slots=True)
class SizeLimit:
    """How much a database accepts.

    Attributes:
        bytes: The largest size of a statement with its values, or of a row, in bytes.
        name: What sets the limit, such as ``max_allowed_packet``.
    """

    bytes: int
    name: str

    def may_exceed(self, length: int) -> bool:
        """Return whether texts of so many characters in all may be too large: then their bytes have to be counted."""
        return length * MAX_BYTES_PER_CHARACTER > self.bytes

    def check(self, size: int) -> None:
        """Refuse what is larger, in bytes.

        Raises:
            TooLargeError: If it is.
        """
        if size > self.bytes:
            raise TooLargeError(size=size, limit=self.bytes, limit_name=self.name)

    def check_values(self, values: Iterable[Any]) -> None:
        """Refuse values whose texts are larger together, as UTF-8.

        Raises:
            TooLargeError: If they are.
        """
        texts = [value for value in values if isinstance(value, str)]
        if self.may_exceed(sum(map(len, texts))):
            self.check(sum(map(measure_utf8, texts)))


def measure_utf8(text: str) -> int:
    """Return how many bytes a text takes."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def split_by_length(items: Sequence[T], lengths: Iterable[int], *, limit: int) -> Iterator[Sequence[T]]:
    """Yield the items in groups, in order: each within the limit of characters, or of one item alone.

    Args:
        items: What to split.
        lengths: How many characters each item has.
        limit: How many characters a group has at most.
    """
    first, total = 0, 0
    for place, length in enumerate(lengths):
        if total + length > limit and place > first:
            yield items[first:place]
            first, total = place, 0
        total += length
    if first < len(items):
        yield items[first:]
