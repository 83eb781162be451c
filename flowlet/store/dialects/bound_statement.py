"""Statements with their values, as ``databases`` takes them, of which each text is compiled once.

``databases`` makes an expression of SQLAlchemy of each statement, binds the values to it and compiles it, each time
anew. For a statement with a few values that takes longer than the database needs to answer it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.engine.interfaces import Dialect

__all__ = ["BoundStatement"]

MAX_TEXTS = 2_000
"""How many compiled texts are kept; a text that has a list of values is another one for each length of the list."""
_KEPT_ATTRIBUTES = (
    "string",
    "positiontup",
    "_bind_processors",
    "_result_columns",
    "_ordered_columns",
    "_textual_ordered_columns",
    "_ad_hoc_textual",
    "_loose_column_name_matching",
)
"""What the backends of ``databases`` read of a compiled statement, beside its values."""


class _CompiledText:
    """What SQLAlchemy has made of a text, without the values that it was given: these may be long."""

    def __init__(self, sql: str, values: dict[str, Any], dialect: Any) -> None:
        statement = text(sql).bindparams(**values)
        compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        compiled.construct_params()  # it refuses a name without a value
        for name in _KEPT_ATTRIBUTES:
            setattr(self, name, getattr(compiled, name))


_texts: dict[tuple[Any, ...], _CompiledText] = {}


class _CompiledStatement:
    """A compiled text with its values."""

    __slots__ = ("_text", "params")

    def __init__(self, text: _CompiledText, values: dict[str, Any]) -> None:
        self._text = text
        self.params = values

    def construct_params(self) -> dict[str, Any]:
        """Return the values by their names."""
        return dict(self.params)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._text, name)


class BoundStatement:
    """A statement that ``databases`` compiles and runs, as it would an expression of SQLAlchemy.

    Args:
        sql: The text, with ``:names``.
        values: The value of each name.
    """

    __slots__ = ("_sql", "_values")

    def __init__(self, sql: str, values: dict[str, Any] | None) -> None:
        self._sql = sql
        self._values = values or {}

    def compile(self, *, dialect: Dialect, compile_kwargs: dict[str, Any]) -> _CompiledStatement:
        """Return the compiled text with the values.

        SQLAlchemy chooses by a value's type how the value is sent. All backends of one kind compile alike.

        Raises:
            sqlalchemy.exc.ArgumentError: If the text does not have one of the names.
            sqlalchemy.exc.InvalidRequestError: If one of its names has no value.
        """
        values = self._values
        key = (type(dialect), self._sql, *values, *map(type, values.values()))
        found = _texts.get(key)
        if found is None:
            if len(_texts) >= MAX_TEXTS:
                _texts.clear()
            found = _texts[key] = _CompiledText(self._sql, values, dialect)
        return _CompiledStatement(found, values)
