"""Names by their beginning: as a range, which an index answers, and in which no letter stands for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowlet.store.connection import Session

__all__ = ["FEW", "beginning", "bounds", "following"]

FEW = 2_000
"""Up to so many instances are found by the index of their names; where more fit, the newest are walked through."""

_LAST = chr(0x10FFFF)
_LONGEST = 256  # one more than a name may have
_COLUMNS = {"external_id": "", "business_key": " AND business_key <> ''"}
# Not for an index: with most of a table in a range, a database that takes the range sorts all that it finds there. The
# second comparison is for MySQL, to which "a" is the same as "a" with a space behind it.
_WALKED = "SUBSTR({0}, 1, :prefix_length) = :prefix AND LENGTH(SUBSTR({0}, 1, :prefix_length)) = LENGTH(:prefix)"


def following(prefix: str) -> str:
    """Return the least text beyond all names that begin with a text, in the order of their code points."""
    kept = prefix.rstrip(_LAST)
    if not kept:
        return _LAST * _LONGEST
    after = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if after == 0xD800 else after)  # halves of surrogate pairs are no letters


def bounds(column: str, bind: str) -> str:
    """Return the condition that a column begins with a text, for databases that compare it letter by letter."""
    return f"{column} >= :{bind} AND {column} < :{bind}_end"


async def beginning(
    session: Session, prefix: str, others: Sequence[str], values: Mapping[str, Any]
) -> tuple[str, dict[str, Any], bool]:
    """Return the condition that the external id or the business key begins with a text, its binds, and if few fit.

    A database that guesses wrong how many fit, or where they lie, reads a million rows for fifty. So the few are
    looked up first, in the order of the index, and found by their ids.

    Args:
        session: Where they are.
        prefix: The text.
        others: Conditions that are as good; an index has to answer each.
        values: Their binds.
    """
    dialect = session.dialect
    begins = {name: f"{dialect.begins(name, 'prefix')}{more} ORDER BY {name}" for name, more in _COLUMNS.items()}
    looked = {condition: dialect.begins_values("prefix", prefix) for condition in begins.values()}
    looked |= {condition: {name: values[name] for name in values if f":{name}" in condition} for condition in others}
    ids: set[int] = set()
    for condition, binds in looked.items():
        found = await session.rows(f"SELECT id FROM workflow WHERE {condition} LIMIT {FEW + 1}", binds)
        if len(found) > FEW:
            walked = [f"({_WALKED.format(name)}{more})" for name, more in _COLUMNS.items()]
            return " OR ".join((*others, *walked)), {**values, "prefix": prefix, "prefix_length": len(prefix)}, False
        ids.update(row[0] for row in found)
    if not ids:
        return "1 = 0", {}, True
    return f"id IN ({dialect.members('prefixed')})", {"prefixed": dialect.members_value(sorted(ids))}, True
