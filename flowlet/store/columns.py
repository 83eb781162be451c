"""How a table is declared: its columns, each with its type and its codec, its key and its indexes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, Generic, TypeVar

__all__ = [
    "PLAIN",
    "Codec",
    "Column",
    "ColumnType",
    "Expression",
    "Index",
    "RowEncoder",
    "RowReader",
    "Table",
    "list_names",
]

T = TypeVar("T")


class ColumnType(Enum):
    """The type of a column. Each dialect has its own name for it."""

    IDENTITY = "identity"
    """A primary key whose numbers the database assigns."""
    NAME = "name"
    """A text of at most 255 characters."""
    KEY = "key"
    """A text of at most 255 characters that a search finds by its beginning: sorted by code point."""
    WORD = "word"
    """A text of at most 64 characters."""
    TEXT = "text"
    """A text of any length."""
    FLAG = "flag"
    """0 or 1."""
    SMALL = "small"
    """An integer of 16 bits."""
    INTEGER = "integer"
    """An integer of 32 bits."""
    BIG = "big"
    """An integer of 64 bits."""


@dataclass(frozen=True, slots=True)
class Codec:
    """How a value of a record becomes the value of a column, and how it is read back; None keeps the value."""

    encode: Callable[[Any], Any] | None = None
    decode: Callable[[Any], Any] | None = None


PLAIN = Codec()
"""The codec of values that records and columns hold alike."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its name in SQL.
        type: Its type.
        constraint: What follows the type in the table's declaration.
        field: The record's attribute that holds its value; a path with dots leads through nested records. Empty if
            the attribute is called like the column.
        codec: How values are converted.
    """

    name: str
    type: ColumnType
    constraint: str = "NOT NULL"
    field: str = ""
    codec: Codec = PLAIN

    @property
    def attribute(self) -> str:
        """The record's attribute that holds the value."""
        return self.field or self.name


@dataclass(frozen=True, slots=True)
class Index:
    """An index of a table.

    Attributes:
        where: The condition of the rows that are in it; None for all. A statement uses a partial index only where it
            repeats this condition word for word.
        is_unique: Whether no two rows have the same values in these columns.
    """

    name: str
    columns: tuple[str, ...]
    where: str | None = None
    is_unique: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table. In an f-string it is its name.

    Attributes:
        primary_key: The columns of the primary key, where no column says so itself.
    """

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    indexes: tuple[Index, ...] = ()

    def __str__(self) -> str:
        """Return the table's name."""
        return self.name

    def __getitem__(self, name: str) -> Column:
        """Return the column of a name."""
        return next(column for column in self.columns if column.name == name)

    def get_columns(self, *names: str) -> tuple[Column, ...]:
        """Return the columns of these names, in this order."""
        return tuple(self[name] for name in names)

    def omit_columns(self, *names: str) -> tuple[Column, ...]:
        """Return the other columns, in the order of the declaration."""
        return tuple(column for column in self.columns if column.name not in names)


def list_names(columns: Sequence[Column], alias: str = "") -> str:
    """Return the names of columns for a statement: ``id, state``, or ``w.id, w.state`` with the alias ``w``."""
    return ", ".join(f"{alias}.{column.name}" if alias else column.name for column in columns)


@dataclass(frozen=True, slots=True)
class Expression:
    """Something that is selected: SQL, and how its value is read."""

    sql: str
    codec: Codec = PLAIN


class RowEncoder:
    """Makes the values of some columns from a record. It is prepared once; encoding is on the path of every commit.

    Attributes:
        columns: The columns, in the order of the values.
        names: Their names.
        encode: Returns the values of a record, in the order of the columns.
    """

    def __init__(self, columns: Sequence[Column], *, fields: Mapping[str, str] | None = None) -> None:
        """Prepare the encoding.

        Args:
            columns: The columns, in the order of the values.
            fields: By column the attribute of the record, where it is not the column's own.
        """
        renamed = fields or {}
        self.columns = tuple(columns)
        self.names = tuple(column.name for column in columns)
        # Code of its own takes less than half of the time of a loop: each transition is encoded, and each line.
        encoders = {f"encode_{column.name}": column.codec.encode for column in columns if column.codec.encode}
        values = [f"record.{renamed.get(column.name, column.attribute)}" for column in columns]
        parts = [
            f"encode_{name}({value})" if f"encode_{name}" in encoders else value
            for name, value in zip(self.names, values, strict=True)
        ]
        self.encode: Callable[[Any], list[Any]] = eval(f"lambda record: [{', '.join(parts)}]", encoders)  # noqa: S307 - the names of columns and of fields

    def encode_binds(self, record: Any) -> dict[str, Any]:
        """Return the values of a record by the names of the columns, for a statement with ``:named`` binds."""
        return dict(zip(self.names, self.encode(record), strict=True))


class RowReader(Generic[T]):
    """Makes records of rows. What it selects follows the fields of the record, so that no position is written down.

    Attributes:
        select_list: The text between SELECT and FROM.
    """

    def __init__(
        self,
        record: type[T],
        tables: Mapping[str, Table],
        *,
        expressions: Mapping[str, Expression] | None = None,
        make: Callable[..., T] | None = None,
    ) -> None:
        """Prepare the reading.

        Args:
            record: A dataclass or a NamedTuple. Each field is called like a column, or like the attribute that a
                column declares.
            tables: By alias the tables of the statement, "" for the only one; a name in two tables is the first one's.
            expressions: By field what is selected instead of a column.
            make: Makes a record of the values of its fields, in their order; by default the class itself.
        """
        selected = {**_select_columns(tables), **(expressions or {})}
        names = getattr(record, "_fields", None) or [field.name for field in fields(record)]  # type: ignore[arg-type]  # a dataclass, if it is no NamedTuple
        parts = [selected[name] for name in names]
        self._make = make or record
        self._decoders = tuple(
            (place, part.codec.decode) for place, part in enumerate(parts) if part.codec.decode is not None
        )
        self.select_list = ", ".join(part.sql for part in parts)

    def parse(self, row: Sequence[Any]) -> T:
        """Return the record of a row that has the columns of ``select_list``."""
        values = list(row)
        for place, decode in self._decoders:
            values[place] = decode(values[place])
        return self._make(*values)

    def parse_all(self, rows: Iterable[Sequence[Any]]) -> list[T]:
        """Return the records of rows."""
        return [self.parse(row) for row in rows]


def _select_columns(tables: Mapping[str, Table]) -> dict[str, Expression]:
    """Return what selects each column, by the names that a field may give it."""
    found: dict[str, Expression] = {}
    for alias, table in tables.items():
        for column in table.columns:
            part = Expression(f"{alias}.{column.name}" if alias else column.name, column.codec)
            found.setdefault(column.attribute, part)
            found.setdefault(column.name, part)
    return found
