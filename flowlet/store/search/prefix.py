"""Names by their beginning: as a range, which an index answers, and in which no letter stands for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowlet.store.connection import DatabaseSession
from flowlet.store.tables import HAS_BUSINESS_KEY, WORKFLOW

__all__ = ["MAX_INDEXED_MATCHES", "build_prefix_search"]

MAX_INDEXED_MATCHES = 2_000
"""Up to so many instances are found by the index of their names; where more fit, the newest are walked through."""

_COLUMNS = {"external_id": "", "business_key": f" AND {HAS_BUSINESS_KEY}"}
# Not for an index: with most of a table in a range, a database that takes the range sorts all that it finds there. The
# second comparison is for MySQL, to which "a" is the same as "a" with a space behind it.
_SCAN_CONDITION = (
    "SUBSTR({0}, 1, :prefix_length) = :prefix AND LENGTH(SUBSTR({0}, 1, :prefix_length)) = LENGTH(:prefix)"
)


async def build_prefix_search(
    session: DatabaseSession, prefix: str, alternatives: Sequence[str], values: Mapping[str, Any]
) -> tuple[str, dict[str, Any], bool]:
    """Return the condition that the external id or the business key begins with a text, its binds, and if few fit.

    A database that guesses wrong how many fit, or where they lie, reads a million rows for fifty. So the few are
    looked up first, in the order of the index, and found by their ids.

    Args:
        session: Where they are.
        prefix: The text.
        alternatives: Conditions that are as good; an index has to answer each.
        values: Their binds.
    """
    expressions = session.dialect.expressions
    begins = {
        name: f"{expressions.build_prefix_condition(name, 'prefix')}{more} ORDER BY {name}"
        for name, more in _COLUMNS.items()
    }
    looked = {condition: expressions.build_prefix_binds("prefix", prefix) for condition in begins.values()}
    looked |= {
        condition: {name: values[name] for name in values if f":{name}" in condition} for condition in alternatives
    }
    ids: set[int] = set()
    for condition, binds in looked.items():
        found = await session.fetch_rows(
            f"SELECT id FROM {WORKFLOW} WHERE {condition} LIMIT {MAX_INDEXED_MATCHES + 1}", binds
        )
        if len(found) > MAX_INDEXED_MATCHES:
            walked = [f"({_SCAN_CONDITION.format(name)}{more})" for name, more in _COLUMNS.items()]
            return (
                " OR ".join((*alternatives, *walked)),
                {**values, "prefix": prefix, "prefix_length": len(prefix)},
                False,
            )
        ids.update(id for (id,) in found)
    if not ids:
        return "1 = 0", {}, True
    return f"id IN ({expressions.build_ids_sql('prefixed')})", {"prefixed": expressions.encode_ids(sorted(ids))}, True
