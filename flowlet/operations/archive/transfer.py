"""Export and import: whole trees, out of one database and into another one, of whatever kind each of them is."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

from flowlet.accounts.audit import AuditAction, AuditEntry
from flowlet.errors import RefusedError, UnknownInstanceError
from flowlet.instance.instance import Instance
from flowlet.operations.archive.file import ArchiveReader, ArchiveWriter
from flowlet.store.opening import Store
from flowlet.store.retention.archive import (
    ImportResult,
    TreeRows,
    import_definition,
    import_tree,
    read_definition_rows,
    read_tree_rows,
)
from flowlet.store.retention.ended_trees import EndedRoot, EndedTree, read_ended_trees
from flowlet.store.retention.roots import list_roots

__all__ = ["ImportReport", "export_file", "export_tree", "import_file"]


@dataclass(slots=True)
class ImportReport:
    """What became of the trees of a file.

    Attributes:
        counts: How many trees had each result.
        conflicts: The external ids of the roots that were refused, the first ones.
        read_bytes: How many bytes of the file have been read.
    """

    counts: Counter[ImportResult] = field(default_factory=Counter)
    conflicts: list[str] = field(default_factory=list)
    read_bytes: int = 0

    @property
    def tree_count(self) -> int:
        """How many trees have been read."""
        return self.counts.total()


MAX_NAMED_CONFLICTS = 20
COMPLETION_WAITS_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 10, 10, 10, 10)
"""How long an export waits for the children of a tree that are being created, before it reads the tree again."""


async def export_tree(store: Store, instance: Instance) -> TreeRows:
    """Return the rows of the whole tree of an instance.

    Raises:
        UnknownInstanceError: If its root is gone.
        RefusedError: If children of it are being created all the time.
        StoreUnavailableError: If the database is unavailable.
    """
    root = instance if instance.root_id is None else await store.queries.get(instance.root_id)
    root_found = EndedRoot(root.id, 0, root.children)
    (tree,) = await read_ended_trees(store.connections, [root_found], before=0, is_whole=True)
    rows = await _read_complete_rows(store, root_found, tree)
    if not rows.instances:
        raise UnknownInstanceError(f"no workflow has the id {root.id}")
    return rows


async def export_file(store: Store, path: Path, *, type: str | None = None) -> AsyncGenerator[int, None]:
    """Write the trees to a new file, with all definitions; yield how many trees are written, from time to time.

    Args:
        store: The database.
        path: The file.
        type: Only trees whose root is of this workflow; None for all.

    Raises:
        SettingsError: If the file exists, or cannot be written.
        RefusedError: If children of a tree are being created all the time; the file is removed then.
        StoreUnavailableError: If the database is unavailable; likewise.
    """
    written = 0
    with ArchiveWriter(path) as writer:
        for row in await read_definition_rows(store.connections):
            writer.write({"definition": row})
        async for roots in list_roots(store.connections, type=type):
            trees = await read_ended_trees(store.connections, roots, before=0, is_whole=True)
            for root, tree in zip(roots, trees, strict=True):
                rows = await _read_complete_rows(store, root, tree)
                if rows.instances:
                    writer.write({"tree": rows.to_json()})
                    written += 1
            yield written
        writer.write({"end": {"trees": written}})


async def _read_complete_rows(store: Store, root: EndedRoot, tree: EndedTree) -> TreeRows:
    """Return the rows of a tree; one whose children are being created is read again, until none is missing.

    Raises:
        RefusedError: If that is so for too long.
    """
    waits = iter(COMPLETION_WAITS_SECONDS)
    while missing := (rows := await read_tree_rows(store.connections, sorted(tree.parents))).count_missing():
        seconds = next(waits, None)
        if seconds is None:
            raise RefusedError(
                f"{missing:,} children of {rows.instances[0]['external_id']!r} were created while it was read: export "
                "it again when they have been made."
            )
        await store.clock.sleep(seconds)
        (tree,) = await read_ended_trees(store.connections, [root], before=0, is_whole=True)
    return rows


async def import_file(
    store: Store, path: Path, *, username: str, with_open: bool = False
) -> AsyncGenerator[ImportReport, None]:
    """Add the trees of a file, each in a transaction; yield the report so far after each one.

    What is there already stays as it is: run again after an interruption, it goes on where it was.

    Args:
        store: The database.
        path: The file.
        username: Who imports.
        with_open: Whether trees with open instances are imported too: executors of this database run them.

    Raises:
        SettingsError: If the file cannot be read, or is not complete.
        RefusedError: If a tree is open, without ``with_open``: those before it have been imported.
        StoreUnavailableError: If the database is unavailable.
    """
    report = ImportReport()
    with ArchiveReader(path) as reader:
        entry = AuditEntry(username, AuditAction.RETENTION_IMPORTED, path.name)
        await store.audit.write(entry, now=store.clock.now())
        for line in reader.read_lines():
            if "definition" in line:
                await import_definition(store.connections, line["definition"])
                continue
            tree = TreeRows.of(line["tree"])
            name = str(tree.instances[0]["external_id"])
            if tree.is_open and not with_open:
                raise RefusedError(
                    f"{name!r} has not ended, and would run here too. If no executor runs on the database that it "
                    "comes from any more, import it with --with-open."
                )
            result = await import_tree(store.connections, tree)
            report.counts[result] += 1
            if result is ImportResult.CONFLICT and len(report.conflicts) < MAX_NAMED_CONFLICTS:
                report.conflicts.append(name)
            report.read_bytes = reader.position
            yield report
