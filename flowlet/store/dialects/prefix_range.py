"""The range of the texts that begin with a text, in the order of their code points."""

from __future__ import annotations

__all__ = ["build_range_condition", "compute_prefix_end"]

_LAST_CHARACTER = chr(0x10FFFF)
_MAX_KEY_LENGTH = 256  # one more than a name may have


def compute_prefix_end(prefix: str) -> str:
    """Return the least text beyond all names that begin with a text, in the order of their code points."""
    kept = prefix.rstrip(_LAST_CHARACTER)
    if not kept:
        return _LAST_CHARACTER * _MAX_KEY_LENGTH
    after = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if after == 0xD800 else after)  # halves of surrogate pairs are no letters


def build_range_condition(column: str, bind: str) -> str:
    """Return the condition that a column begins with a text, for databases that compare by code points."""
    return f"{column} >= :{bind} AND {column} < :{bind}_end"
