"""Paths of variables as the JSON functions of SQLite, MariaDB and MySQL read them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["build_json_path", "is_position"]

MAX_POSITION_DIGITS = 9


def build_json_path(path: Sequence[str]) -> str:
    """Return a path such as ``$."items"[0]."sku"``; the first part is always a name.

    MariaDB and MySQL take a value that is no list for a list of this value alone: position 0 is the value itself there.

    Args:
        path: Names without a quote or a backslash, and positions in lists.
    """
    first, *rest = path
    return f'$."{first}"' + "".join(f"[{int(part)}]" if is_position(part) else f'."{part}"' for part in rest)


def is_position(part: str) -> bool:
    """Return whether a part of a path is a position in a list, rather than a name."""
    return part.isascii() and part.isdigit() and len(part) <= MAX_POSITION_DIGITS
