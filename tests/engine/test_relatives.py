"""Children, parents and failures are read for the handlers that use them: many together, children once per lease."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from types import ModuleType
from typing import Any

import pytest

from flowlet.store.columns import RowReader
from flowlet.testing import Harness
from flowlet.workflow.context import Context, Failure
from flowlet.workflow.outcome import child
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import Next, end, manual, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module


async def ignore_context(ctx: Context) -> None:
    ctx.log(f"attempt {ctx.attempt} of {ctx.workflow.key}")
    ctx.vars["seen"] = True


async def count_own_children(ctx: Context) -> str:
    ctx.vars["children"] = ctx.workflow.children
    return "done"


async def count_children(ctx: Context) -> None:
    assert len(ctx.children) == 2


async def count_in_function(ctx: Context) -> None:
    def count() -> int:
        return len(ctx.children)

    assert count() == 2


async def hand_on(ctx: Context) -> None:
    await count_children(ctx)


async def use_introspection(ctx: Context) -> None:
    assert len(locals()["ctx"].children) == 2


def count_in_thread(ctx: Context) -> None:
    assert all(one.succeeded for one in ctx.children)


def build_family(look: Any) -> list[ModuleType]:
    """Return a workflow that spawns two children, and looks at them in two states of one lease."""

    @state(start=True, next=["look"])
    async def begin() -> Next:
        return first.spawn([child("Kid"), child("Kid")]).when_children_end()

    first, second = state(next=["again"])(look), state(next=["done"])(look)
    parents = build_workflow_module(begin=begin, look=first, again=second, done=end())
    return [parents, build_workflow_module(workflow=Workflow("Kid"), **build_single_state(finish))]


async def finish() -> str:
    return "done"


class ReadLog:
    """The ids of which each statement has read the children, and those that each has read for parents."""

    def __init__(self, harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
        self.children: list[list[int]] = []
        self.parents: list[list[int]] = []
        reads = harness.store.queries
        monkeypatch.setattr(reads, "list_children_of", self._record(self.children, reads.list_children_of))
        monkeypatch.setattr(reads, "get_many", self._record(self.parents, reads.get_many))

    def _record(self, log: list[list[int]], read: Callable[[Sequence[int]], Awaitable[Any]]) -> Any:
        async def record_and_read(ids: Sequence[int]) -> Any:
            log.append(sorted(ids))
            return await read(ids)

        return record_and_read


@pytest.mark.parametrize(
    ("look", "reads"),
    [
        (ignore_context, 0),
        (count_children, 1),
        (count_in_function, 1),
        (hand_on, 1),
        (use_introspection, 1),
        (count_in_thread, 1),
    ],
)
async def test_children_are_read_once_per_lease_and_only_for_handlers_that_use_them(
    database_url: str, monkeypatch: pytest.MonkeyPatch, look: Any, reads: int
) -> None:
    async with Harness(build_family(look), database_url=database_url) as flow:
        log = ReadLog(flow, monkeypatch)

        id = await flow.start("Orders")

        assert (await flow.run_to_end(id)).succeeded
        assert log.children == [[id]] * reads
        assert log.parents == []


async def insert_children(harness: Harness, parent_id: int) -> None:
    """Give an instance 100,000 children that have ended."""
    text_type = "CHAR" if harness.store.url.startswith("mysql") else "VARCHAR(9)"
    digits = " UNION ALL ".join(f"SELECT {digit} AS d" for digit in range(10))
    number = " + ".join(f"{10**place} * t{place}.d" for place in range(5))
    tables = " CROSS JOIN ".join(f"({digits}) t{place}" for place in range(5))
    insert = f"""
        INSERT INTO flowlet_workflow (external_id, workflow_type, definition_version, business_key, executor_group,
            priority, status, state, vars, created, modified, parent_id)
        SELECT CAST({number} AS {text_type}), 'Kid', 1, '', 'default', 5, 'FINISHED', 'done', '{{}}', 0, 0, :parent
        FROM {tables}"""
    update = "UPDATE flowlet_workflow SET children = 100000 WHERE id = :parent"
    for sql in (insert, update):
        await harness.store.connections.write(lambda session, sql=sql: session.execute(sql, {"parent": parent_id}))  # type: ignore[misc]  # mypy cannot infer a lambda with a default


async def test_a_handler_that_does_not_use_its_100000_children_reads_none(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_rows = 0
    parse_all = RowReader.parse_all

    def count_and_parse(reader: RowReader[Any], rows: Any) -> list[Any]:
        nonlocal read_rows
        read_rows += len(rows)
        return parse_all(reader, rows)

    module = build_workflow_module(**build_single_state(count_own_children))
    async with Harness(module, database_url=database_url) as flow:
        id = await flow.start("Orders", settle=False)
        await insert_children(flow, id)
        monkeypatch.setattr(RowReader, "parse_all", count_and_parse)

        instance = await flow.run_to_end(id)

        count = "SELECT COUNT(*) FROM flowlet_workflow WHERE parent_id IS NOT NULL"
        assert await flow.store.connections.read(lambda session: session.fetch_rows(count)) == [(100_000,)]
        assert instance.vars == {"children": 100_000}
        assert read_rows < 20


async def test_the_children_of_many_are_read_with_one_statement(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Harness(build_family(count_children), database_url=database_url) as flow:
        log = ReadLog(flow, monkeypatch)

        ids = [await flow.start("Orders", settle=False) for _ in range(20)]
        ended = [await flow.run_to_end(id) for id in ids]

        assert all(instance.succeeded for instance in ended)
        assert sorted(id for read in log.children for id in read) == ids
        assert len(log.children) <= 4


async def test_the_parent_of_many_is_read_with_one_statement(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look_up(ctx: Context) -> str:
        assert ctx.parent is not None
        assert ctx.parent.id == ctx.workflow.parent_id
        return "done"

    @state(start=True, next=["wait"])
    async def begin() -> Next:
        return wait.spawn(child("Kid") for _ in range(50)).when_children_end()

    wait = state(next=["done"])(ignore_context)
    parents = build_workflow_module(begin=begin, wait=wait, done=end())
    kids = build_workflow_module(workflow=Workflow("Kid"), **build_single_state(look_up))
    async with Harness([parents, kids], database_url=database_url) as flow:
        log = ReadLog(flow, monkeypatch)

        id = await flow.start("Orders")

        assert (await flow.run_to_end(id)).succeeded
        assert all(set(read) == {id} for read in log.parents)
        assert len(log.parents) <= 4
        assert log.children == []


async def test_children_that_were_spawned_in_the_same_lease_are_seen(sqlite_url: str) -> None:
    counts = []

    @state(start=True, next=["more"])
    async def begin() -> Next:
        return more.spawn([child("Kid")])

    @state(next=["look"])
    async def more(ctx: Context) -> Next:
        counts.append(len(ctx.children))
        return look.spawn([child("Kid")])

    @state(next=["done"])
    async def look(ctx: Context) -> None:
        counts.append(len(ctx.children))

    parents = build_workflow_module(begin=begin, more=more, look=look, done=end())
    kids = build_workflow_module(workflow=Workflow("Kid"), **build_single_state(finish))
    async with Harness([parents, kids], database_url=sqlite_url) as flow:
        await flow.run_to_end(await flow.start("Orders"))

    assert counts == [1, 2]


async def test_relatives_that_were_not_read_are_an_error_and_never_empty(sqlite_url: str) -> None:
    found: list[str] = []

    async def reach_through_method(ctx: Context) -> None:
        log: Any = ctx.log
        try:
            log.__self__.children  # noqa: B018
        except RuntimeError as error:
            found.append(str(error))

    async with Harness(build_family(reach_through_method), database_url=sqlite_url) as flow:
        await flow.run_to_end(await flow.start("Orders"))

    assert found[0].startswith("ctx.children was not read, because the handler seemed not to use it")


def build_troubled_module(seen: list[Any], *, hands_on: bool = False) -> ModuleType:
    """Return a workflow whose second state follows the errors of the first, and a third one follows the second."""

    async def note(ctx: Context) -> None:
        seen.append(ctx.error)

    @state(start=True, next=["clean_up", "rest"], on_error="clean_up", retry=Retry(limit=1))
    async def charge(ctx: Context) -> Next:
        if ctx.workflow.key == "easy":
            return clean_up
        raise LookupError("no account: at all")

    @state(next=["rest"])
    async def clean_up(ctx: Context) -> None:
        seen.append(ctx.error)
        if ctx.attempt == 1:
            raise ValueError("not yet")

    @state(next=["rest"])
    async def clean_up_elsewhere(ctx: Context) -> None:
        await note(ctx)

    @manual(next=["done"])
    async def rest(ctx: Context) -> None:
        seen.append(ctx.error)

    if hands_on:
        clean_up = clean_up_elsewhere
    return build_workflow_module(charge=charge, clean_up=clean_up, rest=rest, done=end())


ACCOUNT_FAILURE = Failure("LookupError", "no account: at all", "charge", 2)


@pytest.mark.parametrize("hands_on", [False, True])
async def test_a_state_that_follows_an_error_reads_it_in_each_of_its_attempts(
    database_url: str, hands_on: bool
) -> None:
    seen: list[Any] = []
    async with Harness(build_troubled_module(seen, hands_on=hands_on), database_url=database_url) as harness:
        id = await harness.start("Orders")
        await harness.advance("1 day")
        await harness.answer(id, "done")
        await harness.settle()

    assert seen == [ACCOUNT_FAILURE, *([] if hands_on else [ACCOUNT_FAILURE]), None]


async def test_the_error_is_read_in_another_lease_too(database_url: str) -> None:
    seen: list[Any] = []
    async with Harness(build_troubled_module(seen), database_url=database_url) as harness:
        id = await harness.start("Orders")
        await harness.advance("10 seconds")
        while (await harness.get(id)).state == "charge":
            await harness.advance("1 second")
        await harness.operations.pause(id, username="ada")
        await harness.advance("1 day")
        await harness.operations.resume(id, username="ada")
        await harness.settle()

    assert seen == [ACCOUNT_FAILURE] * 2


async def test_a_state_that_is_entered_in_another_way_has_no_error(database_url: str) -> None:
    seen: list[Any] = []
    async with Harness(build_troubled_module(seen), database_url=database_url) as harness:
        await harness.start("Orders", key="easy")
        moved = await harness.start("Orders")
        await harness.operations.move(moved, "clean_up", username="ada")
        await harness.advance("1 day")

    assert seen == [None] * 4
