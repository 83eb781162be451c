"""The numbered changes of the tables, as the steps that a database runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flowlet.store.columns import Table
from flowlet.store.dialects.schema import SchemaDialect
from flowlet.store.tables import TABLES

__all__ = ["MIGRATIONS", "Migration", "Place", "Step", "list_steps", "list_tables"]

Place = tuple[int, int]
"""A step's place: the number of its migration, and its place in it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of a migration, which is recorded by itself.

    Attributes:
        statement: What to run.
        creates: The table that it creates; None for any other statement.
    """

    statement: str
    creates: Table | None = None


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered change of the tables.

    Attributes:
        tables: The tables to create, as they are declared now: before the first release there is one migration.
        statements: What to run after that, the same on every database; each one may run twice.
    """

    number: int
    tables: tuple[Table, ...] = ()
    statements: tuple[str, ...] = ()

    def list_steps(self, schema: SchemaDialect) -> list[Step]:
        """Return the steps for a database, in their order."""
        steps: list[Step] = []
        for table in self.tables:
            create, *others = schema.build_create_statements(table)
            steps += [Step(create, table), *map(Step, others)]
        return steps + [Step(statement) for statement in self.statements]


MIGRATIONS = (Migration(1, TABLES),)


def list_steps(schema: SchemaDialect, migrations: Sequence[Migration]) -> Mapping[Place, Step]:
    """Return every step by its place."""
    return {
        (migration.number, place): step
        for migration in migrations
        for place, step in enumerate(migration.list_steps(schema))
    }


def list_tables(migrations: Sequence[Migration]) -> tuple[Table, ...]:
    """Return the tables that migrations create."""
    return tuple(table for migration in migrations for table in migration.tables)
