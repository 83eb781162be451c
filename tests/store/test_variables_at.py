"""The variables of the past: those at the last line are the stored ones, whichever door changed them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from types import ModuleType

import pytest
from pydantic import BaseModel

from flowlet.errors import Fail
from flowlet.workflow.context import Context
from flowlet.workflow.outcome import child
from flowlet.workflow.states import Next, end, error, manual, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_workflow_module
from tests.engine.manual_executor import open_engine
from tests.operations.operations_harness import OPERATOR_NAME, OperationsHarness

LOG_LINE = "x" * 200


class Parcel(BaseModel):
    log: list[str] = []
    weights: dict[str, float] = {}
    text: str = ""
    note: str | None = None


class Decision(BaseModel):
    note: str


def build_parcels_module() -> ModuleType:
    """Return a workflow whose handlers change variables in every way, up to a decision and to children."""

    @state(start=True, next=["grow"])
    async def change(parcel: Parcel, ctx: Context) -> None:
        ctx.log("a line without changes")
        parcel.text = "0123456789" * 20
        parcel.weights = {"a/b": 1.0, "~": 2.0**70}

    @state(next=["grow", "ask", "failed"])
    async def grow(parcel: Parcel) -> Next:
        parcel.log.append(LOG_LINE)
        parcel.text = parcel.text[5:] + "abcde"
        if parcel.note == "fail":
            parcel.text = "lost with the attempt"
            raise Fail("as the note says")
        return ask if len(parcel.log) % 10 == 0 else grow

    @manual(next={"gather": "Go on"}, form=Decision)
    async def ask(parcel: Parcel, decision: Decision, ctx: Context) -> Next:
        parcel.note = decision.note
        del parcel.log[3:5]
        return gather.spawn([child("Parcels", note="fail"), child("Notes")]).when_children_end()

    @state(next=["done"])
    async def gather(parcel: Parcel, ctx: Context) -> None:
        parcel.weights = {one.type: float(one.id) for one in ctx.children}

    return build_workflow_module(
        workflow=Workflow("Parcels", vars=Parcel),
        change=change,
        grow=grow,
        ask=ask,
        gather=gather,
        done=end(),
        failed=error(),
    )


def build_notes_module() -> ModuleType:
    """Return a workflow without a model, which adds, changes and removes names of its variables."""

    @state(start=True, next=["done"])
    async def note(ctx: Context) -> None:
        ctx.vars["n"] = 1 if ctx.vars.get("n") is True else True
        ctx.vars["big"] = {"kept": [1, 1.0, "one"], "gone": None}

    return build_workflow_module(workflow=Workflow("Notes"), note=note, done=end())


@pytest.fixture
async def harness(database_url: str) -> AsyncIterator[OperationsHarness]:
    """An empty database; a test that takes it runs on each of the three systems."""
    async with open_engine(database_url, build_parcels_module(), build_notes_module()) as engine:
        yield OperationsHarness(engine, await engine.add_executor())


async def assert_past_is_kept(harness: OperationsHarness, id: int) -> None:
    """Check that the variables at the last line are the stored ones, and that no line has lost its own."""
    instance = await harness.get_instance(id)
    lines = await harness.hands.read_history(id)
    history = harness.hands.store.history
    assert normalize_json(await history.variables_at(id, lines[-1].id)) == normalize_json(instance.vars)
    assert await history.variables_at(id, 2**63) == instance.vars
    assert await history.variables_at(id, lines[0].id - 1) == {}


def normalize_json(value: object) -> str:
    """Return the JSON text, in which 1, 1.0 and true are different, with sorted names."""
    return json.dumps(value, sort_keys=True)


async def count_snapshots(harness: OperationsHarness, id: int) -> int:
    sql = "SELECT COUNT(*) FROM flowlet_action WHERE workflow_id = :id AND vars IS NOT NULL"
    ((count,),) = await harness.hands.fetch_rows(sql, {"id": id})
    return int(count)


async def test_the_variables_at_the_last_line_are_the_stored_ones_at_every_door(harness: OperationsHarness) -> None:
    hands, operations = harness.hands, harness.operations
    id = await hands.create_instance("Parcels", vars={"note": "a"})
    await assert_past_is_kept(harness, id)
    await operations.edit_variables(id, {"weights": {"a": 1}}, username=OPERATOR_NAME)
    await assert_past_is_kept(harness, id)
    await operations.move(id, "grow", username=OPERATOR_NAME)
    await assert_past_is_kept(harness, id)
    for note in ("a", None):
        await harness.run_until_released(id)
        await assert_past_is_kept(harness, id)
        await operations.edit_variables(id, {"note": note}, unset=["weights"], username=OPERATOR_NAME)
        await operations.move(id, "grow", force=True, reason="again", username=OPERATOR_NAME)
        await operations.pause(id, username=OPERATOR_NAME)
        await operations.resume(id, username=OPERATOR_NAME)
        await assert_past_is_kept(harness, id)
    await harness.run_until_released(id)
    await operations.answer(id, "gather", form={"note": "b"}, username=OPERATOR_NAME)
    await harness.run_until_released(id)
    await assert_past_is_kept(harness, id)
    children = await hands.store.queries.list_children(id)
    for transition in [await harness.hand.run_instance(one) for one in await harness.hand.claim_due()]:
        await harness.hand.commit_transitions(transition)
    await operations.cancel(id, with_children=True, username=OPERATOR_NAME)

    for one in (id, *(one.id for one in children)):
        await assert_past_is_kept(harness, one)
    assert len(children) == 2
    assert await count_snapshots(harness, id) > 2


async def test_the_variables_of_each_line_are_those_that_it_left(harness: OperationsHarness) -> None:
    id = await harness.hands.create_instance("Notes", vars={"n": 0})
    expected = [{"n": 0}]
    for number in range(40):
        after = await harness.operations.edit_variables(
            id,
            {"n": number + 0.5, "list": [LOG_LINE] * (number % 7), f"name {number % 9}": number},
            username=OPERATOR_NAME,
        )
        expected.append(after.vars)

    lines = await harness.hands.read_history(id)
    found = [await harness.hands.store.history.variables_at(id, line.id) for line in lines]

    assert found == expected
    assert 2 < await count_snapshots(harness, id) < 20
    assert [line.vars_json is not None for line in lines] == [True] + [False] * 40


async def test_many_small_changes_of_large_variables_are_followed_by_a_snapshot(harness: OperationsHarness) -> None:
    id = await harness.hands.create_instance("Notes", vars={"text": "x" * 100_000, "n": 0})
    await harness.hands.execute_sql("UPDATE flowlet_workflow SET unsnapped_characters = 99900")

    for number in (1, 2, 3):
        await harness.operations.edit_variables(id, {"n": number}, username=OPERATOR_NAME)

    assert await count_snapshots(harness, id) == 2
    assert 0 < (await harness.get_instance(id)).unsnapped_characters < 1_000
    await assert_past_is_kept(harness, id)


async def test_a_failed_attempt_changes_no_variables_of_the_past(harness: OperationsHarness) -> None:
    id = await harness.hands.create_instance("Parcels", vars={"note": "fail"})

    await harness.run_until_released(id)

    assert (await harness.get_instance(id)).vars["text"] != "lost with the attempt"
    await assert_past_is_kept(harness, id)


async def test_a_growing_instance_keeps_a_history_of_a_few_times_its_size(sqlite_url: str) -> None:
    async with open_engine(sqlite_url, build_parcels_module()) as engine:
        harness = OperationsHarness(engine, await engine.add_executor())
        id = await engine.create_instance("Parcels")
        changes = 0
        while changes < 1_000:
            instance = await harness.run_until_released(id)
            await harness.operations.move(id, "grow", force=True, reason="again", username=OPERATOR_NAME)
            changes = len(instance.vars["log"])

        await assert_past_is_kept(harness, id)
        ((kept,),) = await engine.fetch_rows(
            "SELECT SUM(LENGTH(COALESCE(changes, '')) + LENGTH(COALESCE(vars, ''))) FROM flowlet_action"
        )
        assert len(instance.vars_json) > 200_000
        assert kept < 2_000_000
