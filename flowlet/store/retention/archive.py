"""Rows of whole trees, as they leave a database and come into another one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from flowlet.instance.instance import ENDED_STATUSES, Status
from flowlet.store.columns import Table, list_names
from flowlet.store.commits import Commit
from flowlet.store.connection import Connections
from flowlet.store.counter_buckets import ALL_TIME, SHARED_WRITER_ID, count_end, count_opened, sum_buckets
from flowlet.store.database_session import DatabaseSession
from flowlet.store.tables import ACTION, DEFINITION, EXTERNAL_ID, INSTANCE_TABLES, MESSAGE, SPAWN, WORKFLOW

__all__ = ["ImportResult", "TreeRows", "import_definition", "import_tree", "read_definition_rows", "read_tree_rows"]

MAX_READS = 5
"""How often a tree is read that changes meanwhile."""
Row = dict[str, Any]


class ImportResult(Enum):
    """What became of a tree."""

    IMPORTED = "imported"
    RENUMBERED = "renumbered"
    """It was imported under other ids: its own ones are those of other instances or lines here."""
    PRESENT = "present"
    """It is there already, and the same."""
    CONFLICT = "conflict"
    """An instance with one of its external ids is there already, and is another one; nothing was written."""


@dataclass(frozen=True, slots=True)
class TreeRows:
    """The rows of a tree, by column: the instances with the root first, their history in order, their messages.

    Attributes:
        people: The other rows, about people and of children to be made, whose first column is the instance's id, by
            the name of their table.
    """

    instances: Sequence[Row]
    history: Sequence[Row]
    messages: Sequence[Row] = ()
    people: Mapping[str, Sequence[Row]] = field(default_factory=dict)

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> TreeRows:
        """Return the tree of a line of an export."""
        return cls(line["instances"], line["history"], line["messages"], line["people"])

    def to_json(self) -> dict[str, Any]:
        """Return the line of an export."""
        return {
            "instances": self.instances,
            "history": self.history,
            "messages": self.messages,
            "people": dict(self.people),
        }

    @property
    def tables(self) -> Sequence[tuple[Table, Sequence[Row]]]:
        """The rows with the table of each."""
        return ((WORKFLOW, self.instances), (ACTION, self.history), (MESSAGE, self.messages))

    @property
    def is_open(self) -> bool:
        """Whether one of the instances has not ended, or is still to be made."""
        return bool(self.people.get(SPAWN.name)) or any(row["status"] not in ENDED_STATUSES for row in self.instances)

    def count_missing(self) -> int:
        """Return how many children are counted that are neither here nor still to be made."""
        counted = {row["id"]: row["children"] for row in self.instances}
        found = Counter(row["parent_id"] for row in self.instances)
        for row in self.people.get(SPAWN.name, ()):
            found[row["workflow_id"]] += row["children"]
        return sum(max(0, count - found[id]) for id, count in counted.items())

    def remove_ids(self) -> tuple[list[Row], ...]:
        """Return the rows with external ids in place of ids, and others without their own, to compare two databases."""
        names = {row["id"]: row["external_id"] for row in self.instances}
        places = {row["id"]: place for place, row in enumerate(self.messages)}
        renamed = self.renumber(names, {}, places).instances
        others = [
            [{**row, "id": 0, "workflow_id": names[row["workflow_id"]]} for row in rows]
            for rows in (self.history, self.messages)
        ]
        people = [
            [{**row, "table": name, "workflow_id": names[row["workflow_id"]]} for row in rows]
            for name, rows in sorted(self.people.items())
        ]
        return sorted(renamed, key=lambda row: str(row["external_id"])), *others, *people

    def renumber(self, ids: Mapping[int, Any], lines: Mapping[int, Any], messages: Mapping[int, Any]) -> TreeRows:
        """Return the rows under other ids.

        Args:
            ids: The new id of each instance.
            lines: The new id of each line of history; those that are left out keep theirs.
            messages: The new id of each message.
        """
        links = ("parent_id", "root_id")
        instances = [
            {
                **row,
                "id": ids[row["id"]],
                **{link: ids.get(row[link]) for link in links},
                "message_id": messages.get(row["message_id"]),
            }
            for row in self.instances
        ]
        history, sent = (
            [{**row, "id": new.get(row["id"], row["id"]), "workflow_id": ids[row["workflow_id"]]} for row in rows]
            for rows, new in ((self.history, lines), (self.messages, messages))
        )
        people = {
            name: [{**row, "workflow_id": ids[row["workflow_id"]]} for row in rows]
            for name, rows in self.people.items()
        }
        return TreeRows(instances, history, sent, people)


async def read_tree_rows(connections: Connections, ids: Sequence[int]) -> TreeRows:
    """Return the rows of a tree, whose instances have these ids. One that runs is read again until it stands still.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    found = await connections.read(lambda session: _read_rows(session, ids))
    for _ in range(MAX_READS):
        again = await connections.read(lambda session: _read_rows(session, ids))
        if again == found:
            break
        found = again
    return found


async def _read_rows(session: DatabaseSession, ids: Sequence[int]) -> TreeRows:
    return TreeRows(
        await _fetch_by_ids(session, WORKFLOW, "id", ids),
        await _fetch_by_ids(session, ACTION, "workflow_id", ids),
        await _fetch_by_ids(session, MESSAGE, "workflow_id", ids),
        {
            table.name: await _fetch_by_ids(session, table, "workflow_id", ids, order=", ".join(table.primary_key))
            for table in INSTANCE_TABLES
        },
    )


async def read_definition_rows(connections: Connections) -> list[Row]:
    """Return the rows of all stored definitions.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    sql = f"SELECT {list_names(DEFINITION.columns)} FROM {DEFINITION} ORDER BY name, version, digest"
    rows = await connections.read(lambda session: session.fetch_rows(sql))
    return [_name_values(DEFINITION, row) for row in rows]


async def import_definition(connections: Connections, row: Row) -> None:
    """Add the row of a definition, unless it is there: one transaction.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """

    async def insert_if_missing(session: DatabaseSession) -> None:
        key = {name: row[name] for name in DEFINITION.primary_key}
        where = " AND ".join(f"{name} = :{name}" for name in key)
        if not await session.fetch_rows(f"SELECT 1 FROM {DEFINITION} WHERE {where}", key):
            await _insert(session, DEFINITION, [row])

    await connections.write(insert_if_missing)


async def import_tree(connections: Connections, tree: TreeRows) -> ImportResult:
    """Add a tree, unless it is there: one transaction. Its ids stay where they are free, all of them, or all change.

    An external id that is kept of a deleted instance is that of this one again.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """

    async def compare_and_insert(session: DatabaseSession) -> ImportResult:
        names = [row["external_id"] for row in tree.instances]
        known = await _find_by_external_ids(session, names)
        if known:
            present = await _read_rows(session, sorted(known))
            is_same = len(known) == len(names) and present.remove_ids() == tree.remove_ids()
            return ImportResult.PRESENT if is_same else ImportResult.CONFLICT
        is_free = await _are_ids_free(session, tree)
        await _insert_tree(session, tree if is_free else await _reserve_ids(session, tree))
        await _forget_external_ids(session, names)
        return ImportResult.IMPORTED if is_free else ImportResult.RENUMBERED

    return await connections.write(compare_and_insert)


async def _are_ids_free(session: DatabaseSession, tree: TreeRows) -> bool:
    for table, rows in tree.tables:
        members, values = _bind_ids(session, [row["id"] for row in rows])
        if await session.fetch_rows(f"SELECT id FROM {table} WHERE id IN ({members}) LIMIT 1", values):
            return False
    return True


async def _reserve_ids(session: DatabaseSession, tree: TreeRows) -> TreeRows:
    """Return the tree with ids above all others; what was reserved is not assigned to anything else."""
    ids, lines, messages = [
        {row["id"]: first + place for place, row in enumerate(rows)}
        for table, rows in tree.tables
        for first in (await _find_highest_id(session, table) + 1,)
    ]
    return tree.renumber(ids, lines, messages)


async def _find_highest_id(session: DatabaseSession, table: Table) -> int:
    rows = await session.fetch_rows(f"SELECT id FROM {table} ORDER BY id DESC LIMIT 1")
    return int(rows[0][0]) if rows else 0


async def _insert_tree(session: DatabaseSession, tree: TreeRows) -> None:
    for table, rows in tree.tables:
        if rows:
            await session.dialect.writes.raise_next_id(session.raw, table, max(row["id"] for row in rows))
            await _insert(session, table, rows)
    for table in INSTANCE_TABLES:
        await _insert(session, table, tree.people.get(table.name, ()))
    ends = Counter((row["workflow_type"], row["status"]) for row in tree.instances if row["status"] in ENDED_STATUSES)
    counts = sum_buckets(
        count_end(Status(status), minutes=ALL_TIME, start=0, type=type, amount=count)
        for (type, status), count in ends.items()
    )
    opened = [count_opened([row["workflow_type"]], row["created"]) for row in tree.instances if row["ended"] is None]
    counts = sum_buckets([*counts, *(count for part in opened for count in part)])
    await session.dialect.writes.add_counts(session.raw, SHARED_WRITER_ID, counts)
    groups = {row["executor_group"] for row in tree.instances if row["status"] not in ENDED_STATUSES}
    session.pending_commit = Commit(frozenset(groups), ()) if groups else None


async def _forget_external_ids(session: DatabaseSession, names: Sequence[str]) -> None:
    for name in names:
        await session.execute(f"DELETE FROM {EXTERNAL_ID} WHERE external_id = :name", {"name": name})


async def _find_by_external_ids(session: DatabaseSession, names: Sequence[str]) -> list[int]:
    found: list[int] = []
    for name in names:
        rows = await session.fetch_rows(f"SELECT id FROM {WORKFLOW} WHERE external_id = :name", {"name": name})
        found += [id for (id,) in rows]
    return found


async def _fetch_by_ids(
    session: DatabaseSession, table: Table, column: str, ids: Sequence[int], *, order: str = "id"
) -> list[Row]:
    members, values = _bind_ids(session, ids)
    sql = f"SELECT {list_names(table.columns)} FROM {table} WHERE {column} IN ({members}) ORDER BY {order}"
    return [_name_values(table, row) for row in await session.fetch_rows(sql, values)]


async def _insert(session: DatabaseSession, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    values = [[row[column.name] for column in table.columns] for row in rows]
    await session.dialect.writes.insert_rows(session.raw, table, table.columns, values)


def _bind_ids(session: DatabaseSession, ids: Sequence[int]) -> tuple[str, dict[str, Any]]:
    expressions = session.dialect.expressions
    return expressions.build_ids_sql("ids"), {"ids": expressions.encode_ids(ids)}


def _name_values(table: Table, row: Sequence[Any]) -> Row:
    return {column.name: value for column, value in zip(table.columns, row, strict=True)}
