"""What a database has of the tables: read first, so that nothing is changed where nothing is missing.

A table is one of Flowlet's only if the table of the schema's version lists the step that creates it. Any other table of
such a name was made by another program, and is never written to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flowlet.errors import SchemaError
from flowlet.store.columns import Table
from flowlet.store.database_session import DatabaseSession
from flowlet.store.migrations.steps import Migration, Place, Step, list_steps, list_tables
from flowlet.store.tables import SCHEMA_VERSION

__all__ = ["SchemaState", "inspect_schema"]

_CURE = (
    "Nothing was changed. Rename or drop them, or give Flowlet a database of its own (on PostgreSQL also a schema of "
    "its own: FLOWLET_SCHEMA)"
)


@dataclass(frozen=True, slots=True)
class SchemaState:
    """What a database has of the tables.

    Attributes:
        has_version_table: Whether there is a table of the schema's version.
        begun: The steps that were begun and not recorded as applied: a process was killed in between.
        missing: The steps to run, by their place, in their order; those that were begun are among them.
    """

    has_version_table: bool
    begun: frozenset[Place]
    missing: Mapping[Place, Step]


async def inspect_schema(session: DatabaseSession, migrations: Sequence[Migration]) -> SchemaState:
    """Return what a database has of the tables; nothing is changed.

    What is refused is read again, until two readings are the same: another process may make the tables meanwhile. On
    Galera it does so under its own node's lock.

    Raises:
        SchemaError: If a newer Flowlet made the tables, if a table of one of their names is not listed as one of them,
            if an object that is no table has a name that they need, or if a listed table is missing or lacks columns.
    """
    read = await _read_tables(session, migrations)
    while True:
        try:
            return await _judge_tables(session, migrations, *read)
        except SchemaError:
            former, read = read, await _read_tables(session, migrations)
            if read == former:
                raise


async def _read_tables(
    session: DatabaseSession, migrations: Sequence[Migration]
) -> tuple[Mapping[str, frozenset[str]], dict[Place, bool]]:
    """Return the columns of the tables that exist, and the steps that were begun, each with whether it was applied.

    Raises:
        SchemaError: If the table of the steps has other columns.
    """
    names = [table.name for table in (SCHEMA_VERSION, *list_tables(migrations))]
    found = await session.dialect.schema.read_columns(session.raw, names)
    if SCHEMA_VERSION.name not in found:
        return found, {}
    if not _has_columns(SCHEMA_VERSION, found):
        raise SchemaError(f"the database has a table {SCHEMA_VERSION.name} with other columns than Flowlet's. {_CURE}")
    return found, await _read_recorded_steps(session)


async def _judge_tables(
    session: DatabaseSession,
    migrations: Sequence[Migration],
    found: Mapping[str, frozenset[str]],
    recorded: dict[Place, bool],
) -> SchemaState:
    tables = list_tables(migrations)
    _refuse_newer(recorded, migrations)
    steps = list_steps(session.dialect.schema, migrations)
    listed = {step.creates.name for place, step in steps.items() if step.creates and place in recorded}
    _refuse_foreign(table.name for table in tables if table.name in found and table.name not in listed)
    missing = {place: steps[place] for place in sorted(steps) if not recorded.get(place, False)}
    if not missing:
        _refuse_incomplete(tables, found)
    await _refuse_taken_names(
        session, [step.creates for place, step in missing.items() if step.creates and place not in recorded]
    )
    has_version_table = SCHEMA_VERSION.name in found
    return SchemaState(has_version_table, frozenset(place for place in recorded if not recorded[place]), missing)


async def _read_recorded_steps(session: DatabaseSession) -> dict[Place, bool]:
    """Return the steps that were begun, each with whether it was applied."""
    rows = await session.fetch_rows(f"SELECT migration, step, applied FROM {SCHEMA_VERSION}")
    return {(migration, step): applied is not None for migration, step, applied in rows}


def _has_columns(table: Table, found: Mapping[str, frozenset[str]]) -> bool:
    return found[table.name].issuperset(column.name for column in table.columns)


def _refuse_newer(recorded: Mapping[Place, bool], migrations: Sequence[Migration]) -> None:
    newest = max((number for (number, _), is_applied in recorded.items() if is_applied), default=0)
    known = max(migration.number for migration in migrations)
    if newest > known:
        raise SchemaError(
            f"the tables have migration {newest}, this Flowlet knows up to {known}: a newer Flowlet made them. "
            "Install at least that version"
        )


def _refuse_foreign(names: Iterable[str]) -> None:
    if foreign := ", ".join(names):
        raise SchemaError(
            f"the database has tables that Flowlet did not make, because {SCHEMA_VERSION} does not list them: "
            f"{foreign}. {_CURE}"
        )


async def _refuse_taken_names(session: DatabaseSession, tables: Sequence[Table]) -> None:
    """Refuse objects of other programs that have the names of indexes, or of types, that the tables will need."""
    taken = await session.dialect.schema.find_taken_names(session.raw, tables) if tables else []
    if taken:
        raise SchemaError(
            f"the database has indexes or types that Flowlet did not make, and whose names it needs: "
            f"{', '.join(sorted(taken))}. {_CURE}"
        )


def _refuse_incomplete(tables: Sequence[Table], found: Mapping[str, frozenset[str]]) -> None:
    faults = [f"{table} is missing" for table in tables if table.name not in found]
    for table in tables:
        lacking = [column.name for column in table.columns if column.name not in found.get(table.name, ())]
        if lacking and table.name in found:
            faults.append(f"{table} lacks {', '.join(lacking)}")
    if faults:
        raise SchemaError(
            f"the tables are not as {SCHEMA_VERSION} lists them: {'; '.join(faults)}. Restore them from a backup, or "
            "give Flowlet an empty database"
        )
