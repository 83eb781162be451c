"""A statement that is compiled once is what ``databases`` would have compiled each time, on all databases."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from databases.backends.mysql import MySQLBackend
from databases.backends.postgres import PostgresBackend
from databases.backends.sqlite import SQLiteBackend
from databases.core import Connection
from sqlalchemy.exc import ArgumentError, InvalidRequestError

from flowlet.store.dialects import bound_statement
from flowlet.store.dialects.bound_statement import BoundStatement

VALUES: list[Any] = [
    *("text", "prüfen", "", 1, -(2**40), 2**63 - 1, True, False, None, 1.5, b"bytes", Decimal("1.50")),
    *(["a", "b"], {"a": 1}),
]
SQL = "UPDATE t SET b = :b, a = :a, c = '\\:b' WHERE a <> :a AND d = :longer_name"


@pytest.fixture(params=[SQLiteBackend, PostgresBackend, MySQLBackend])
def compile_statement(request: pytest.FixtureRequest) -> Callable[[Any], tuple[Any, ...]]:
    """What a backend makes of a statement: the text and the values that the driver is given."""
    backend = request.param("sqlite:///:memory:" if request.param is SQLiteBackend else "x://localhost/x")
    return lambda statement: tuple(backend.connection()._compile(statement)[:2])


def build_values(index: int) -> dict[str, Any]:
    """Return values for the statement, in any order, of which one is the given one of ``VALUES``."""
    return {"longer_name": index, "a": VALUES[index], "b": VALUES[-1 - index]}


def test_it_is_compiled_as_databases_does(compile_statement: Callable[[Any], tuple[Any, ...]]) -> None:
    for index in [*range(len(VALUES)), *range(len(VALUES))]:
        values = build_values(index)

        assert compile_statement(BoundStatement(SQL, values)) == compile_statement(
            Connection._build_query(SQL, values)
        ), values


def test_without_values_it_is_compiled_as_databases_does(compile_statement: Callable[[Any], tuple[Any, ...]]) -> None:
    no_values: list[dict[str, Any] | None] = [None, {}]
    for values in no_values:
        ours = compile_statement(BoundStatement("SELECT 1", values))

        assert ours == compile_statement(Connection._build_query("SELECT 1", values))


@pytest.mark.parametrize("compile_statement", [PostgresBackend, MySQLBackend], indirect=True)
def test_a_percent_sign_is_escaped_where_the_driver_reads_it(
    compile_statement: Callable[[Any], tuple[Any, ...]],
) -> None:
    sql = "SELECT :a WHERE 'a' LIKE '%b'"

    assert compile_statement(BoundStatement(sql, {"a": 1})) == compile_statement(Connection._build_query(sql, {"a": 1}))


def test_each_has_its_own_values(compile_statement: Callable[[Any], tuple[Any, ...]]) -> None:
    first, second = (BoundStatement("SELECT :a", {"a": value}) for value in ("one", "two"))

    found = [tuple(compile_statement(statement)[1]) for statement in (first, second, first)]

    assert found == ([("one",), ("two",), ("one",)] if "a" not in found[0] else [("a",)] * 3)


def test_a_value_that_the_text_does_not_name_is_refused(compile_statement: Callable[[Any], tuple[Any, ...]]) -> None:
    for _ in range(2):
        with pytest.raises(ArgumentError, match="bound parameter named 'b'"):
            compile_statement(BoundStatement("SELECT :a", {"a": 1, "b": 2}))


def test_a_name_without_a_value_is_refused(compile_statement: Callable[[Any], tuple[Any, ...]]) -> None:
    compile_statement(BoundStatement("SELECT :a, :b", {"a": 1, "b": 2}))
    for _ in range(2):
        with pytest.raises(InvalidRequestError, match="value is required for bind parameter 'b'"):
            compile_statement(BoundStatement("SELECT :a, :b", {"a": 1}))


def test_no_value_is_kept_and_only_so_many_texts(
    compile_statement: Callable[[Any], tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bound_statement, "MAX_TEXTS", 3)
    texts: dict[Any, Any] = {}
    monkeypatch.setattr(bound_statement, "_texts", texts)
    long = "x" * 5000
    for number in range(10):
        compile_statement(BoundStatement(f"SELECT {number}, :a", {"a": long}))

        assert 1 <= len(texts) <= 3
    assert long not in repr([vars(text) for text in texts.values()])
