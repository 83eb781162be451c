"""The search for names by their beginning: as a range, which an index answers, and without wildcards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowlet.store.database_session import DatabaseSession
from flowlet.store.tables import HAS_BUSINESS_KEY, WORKFLOW

__all__ = ["MAX_INDEXED_MATCHES", "build_prefix_search"]

MAX_INDEXED_MATCHES = 2_000
"""Up to so many instances are found by the index of their names; with more matches the newest are scanned."""

_COLUMNS = {"external_id": "", "business_key": f" AND {HAS_BUSINESS_KEY}"}
# Not for an index: if most of a table is in a range, a database that uses the range sorts all that it finds there. The
# second comparison is for MySQL, for which "a" equals "a" with a trailing space.
_SCAN_CONDITION = (
    "SUBSTR({0}, 1, :prefix_length) = :prefix AND LENGTH(SUBSTR({0}, 1, :prefix_length)) = LENGTH(:prefix)"
)


async def build_prefix_search(
    session: DatabaseSession, prefix: str, alternatives: Sequence[str], values: Mapping[str, Any]
) -> tuple[str, dict[str, Any], bool]:
    """Return the condition that the external id or the business key begins with a text, its binds, and if few match.

    A database that estimates the number or the place of the matches wrongly reads a million rows for fifty. So a few
    matches are looked up first, in the order of the index, and found by their ids.

    Args:
        session: The session to look them up with.
        prefix: The text.
        alternatives: Conditions that match too; an index has to answer each.
        values: The binds of the alternatives.
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
