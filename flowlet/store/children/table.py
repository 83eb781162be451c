"""The table of children that are counted in their parent's row and are still to be made."""

from __future__ import annotations

from flowlet.store.columns import Column, ColumnType, Table

__all__ = ["SPAWN"]

SPAWN = Table(
    "flowlet_spawn",
    (
        Column("workflow_id", ColumnType.BIG),
        Column("visit", ColumnType.BIG),
        Column("part", ColumnType.INTEGER),
        Column("children", ColumnType.INTEGER),
        Column("created", ColumnType.BIG),
        Column("requests", ColumnType.TEXT),
    ),
    primary_key=("workflow_id", "visit", "part"),
)
"""Parts of large spawns: the requests of up to 100 children each, until these are made; ``workflow_id`` is the parent,
``visit`` the one that the spawning transition has entered."""
