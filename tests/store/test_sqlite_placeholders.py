"""Every statement that SQLite is given by place has plain placeholders, as Python 3.12 wants it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from typing import Any, ClassVar, Self

import pytest

from flowlet.store.dialects.sqlite import connection
from flowlet.store.dialects.sqlite.statement import PlacedStatement
from flowlet.testing import Harness
from flowlet.workflow.context import Context
from flowlet.workflow.outcome import child
from flowlet.workflow.states import Next, end, manual, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module

NAMED = re.compile(r"[:@$][A-Za-z_]\w*|\?\d+")


class StrictCursor(sqlite3.Cursor):
    """A cursor that refuses what Python 3.12.1 warns of, and Python 3.14 refuses: names that are bound by place."""

    def execute(self, sql: str, parameters: Any = ()) -> Self:
        refuse_placed_names(sql, parameters)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, seq_of_parameters: Iterable[Any]) -> Self:
        given = list(seq_of_parameters)
        for parameters in given:
            refuse_placed_names(sql, parameters)
        return super().executemany(sql, given)


class StrictConnection(connection._Connection):
    """The store's connection, with strict cursors, and the statements that it was given."""

    statements: ClassVar[set[str]] = set()

    def cursor(self, factory: Any = StrictCursor) -> Any:
        return super().cursor(factory)

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        return self.cursor().execute(sql, parameters)  # type: ignore[no-any-return]  # cursor() may return any kind

    def executemany(self, sql: str, parameters: Iterable[Any]) -> sqlite3.Cursor:
        return self.cursor().executemany(sql, parameters)  # type: ignore[no-any-return]  # as above


def refuse_placed_names(sql: str, parameters: Any) -> None:
    StrictConnection.statements.add(sql)
    if parameters and not isinstance(parameters, dict):
        found = NAMED.findall(re.sub(r"'[^']*'", "", sql))
        assert not found, f"{found} are bound by place in: {sql}"


def build_modules() -> list[Any]:
    """Return workflows that spawn, wait, answer, wake their parent and write in their own transaction."""

    @state(start=True, next=["review"])
    async def begin() -> Next:
        return review.spawn([child("Kid"), child("Kid")])

    @manual(next=["wait"])
    async def review(ctx: Context) -> Next:
        return wait.after("1 minute")

    @state(next=["done"])
    async def wait(ctx: Context) -> Next:
        async with ctx.transaction() as own:
            await own.execute(
                "UPDATE flowlet_workflow SET priority = :priority WHERE id = :id", {"priority": 1, "id": 1}
            )
        return done.log(f"{len(ctx.children)}")

    async def finish() -> Next:
        return kid_done.wake_parent()

    done, kid_done = end(), end()
    kid = {**build_single_state(finish), "done": kid_done}
    parents = build_workflow_module(begin=begin, review=review, wait=wait, done=done)
    return [parents, build_workflow_module(workflow=Workflow("Kid"), **kid)]


async def test_every_statement_of_a_workflow_is_bound_by_plain_placeholders(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_Connection", StrictConnection)
    StrictConnection.statements.clear()

    async with Harness(build_modules(), database_url=sqlite_url) as harness:
        id = await harness.start("Orders")
        await harness.settle()
        await harness.answer(id, "wait")
        ended = await harness.run_to_end(id)

    assert ended.succeeded
    used = "\n".join(StrictConnection.statements)
    for part in ("UPDATE flowlet_workflow SET status = ?", "json_each(?)", "INSERT INTO flowlet_action", "woken = ("):
        assert part in used


def test_a_name_that_occurs_twice_has_two_placeholders() -> None:
    statement = PlacedStatement("UPDATE t SET a = :a, b = COALESCE(:b, :a) WHERE c = :c", ("c", "a", "b"))

    assert statement.sql == "UPDATE t SET a = ?, b = COALESCE(?, ?) WHERE c = ?"
    assert statement.bind((1, 2, 3)) == (2, 3, 2, 1)
