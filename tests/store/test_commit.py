"""Committing: a transition is one commit, and only the lease's holder writes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from flowlet.engine.committer import Committer, RejectedError
from flowlet.instance.action import Action, ActionKind
from flowlet.instance.instance import Status
from flowlet.instance.transition import Transition
from flowlet.store.instances import CommitResult
from flowlet.workflow.outcome import child
from flowlet.workflow.states import Next, end, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.manual_executor import EngineHarness, ManualExecutor, open_engine


@state(start=True, next=["wait"])
async def spawning() -> Next:
    return wait.spawn(child("Child").with_ids(external_id="child-1")).when_children_end()


@state(next=["done"])
async def wait() -> None: ...


@state(start=True, next=["done"])
async def end_at_once() -> Next:
    return done.wake_parent()


done = end()
PARENT_MODULE = build_workflow_module(workflow=Workflow("Parent"), spawning=spawning, wait=wait, done=done)
CHILD_MODULE = build_workflow_module(workflow=Workflow("Child"), end_at_once=end_at_once, done=done)


async def finish() -> str:
    return "done"


ORDERS_MODULE = build_workflow_module(**build_single_state(finish))
AWKWARD_TEXT = "b.state {batch} {0} %s %% :at $1 'one' \"two\" \\ \N{PARTY POPPER}"
"""A text with what statements use for their values."""


def add_log_line(transition: Transition, text: str) -> Transition:
    """Return the transition with one more line of history."""
    line = Action(ActionKind.LOG, transition.at_us, text=text)
    return replace(transition, actions=(*transition.actions, line))


def change_instance(transition: Transition, **changes: Any) -> Transition:
    """Return the transition with another fence."""
    return replace(transition, instance=replace(transition.instance, **changes))


async def run_new_instances(engine: EngineHarness, executor: ManualExecutor, count: int) -> list[Transition]:
    """Return the uncommitted transitions of new instances."""
    for _ in range(count):
        await engine.create_instance()
    return [await executor.run_instance(instance) for instance in await executor.claim_due()]


@pytest.mark.parametrize("others_reason", [AWKWARD_TEXT, None])
async def test_a_text_is_stored_as_it_is_whatever_the_other_transitions_of_its_batch_have(
    database_url: str, others_reason: str | None
) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as engine:
        executor = await engine.add_executor()
        first, second = await run_new_instances(engine, executor, 2)

        await executor.commit_transitions(replace(first, reason=AWKWARD_TEXT), replace(second, reason=others_reason))

        stored = [(await engine.get_instance(one.instance.id)).reason for one in (first, second)]
        assert stored == [AWKWARD_TEXT, others_reason]


async def test_a_transition_writes_everything_that_belongs_to_it(database_url: str) -> None:
    async with open_engine(database_url, PARENT_MODULE, CHILD_MODULE) as hands:
        hand = await hands.add_executor()
        id = await hands.create_instance("Parent")
        transition = replace(await hand.run_instance(await hand.claim_instance(id)), vars_json='{"a":1}')

        assert await hand.commit_transitions(transition) == [CommitResult.COMMITTED]

        parent = await hands.get_instance(id)
        (spawned,) = await hands.store.queries.list_children(id)
        assert (parent.state, parent.status, parent.vars_json) == ("wait", Status.IN_PROGRESS, '{"a":1}')
        assert (parent.executor_id, parent.version, parent.visit) == (None, transition.instance.version + 1, 1)
        assert (parent.children, parent.open_children, parent.waits_for_children) == (1, 1, True)
        assert (spawned.external_id, spawned.parent_id, spawned.status) == ("child-1", id, Status.NEW)
        assert [line.kind for line in await hands.read_history(id)] == [ActionKind.CREATED, ActionKind.TRANSITION]
        assert [line.kind for line in await hands.read_history(spawned.id)] == [ActionKind.CREATED]


async def test_the_history_is_written_as_it_was_told(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        hand = await hands.add_executor()
        (transition,) = await run_new_instances(hands, hand, 1)
        told = replace(
            transition.actions[0],
            text='it\'s 100 % "done" \\ with :colons ☃ 🜁\nand lines',
            username="anna",
            detail="Traceback",
            changes_json='[{"op":"set","path":"/a","value":1}]',
            attempt=2,
            duration_ms=2**40,
        )

        await hand.commit_transitions(replace(transition, actions=(told,)))

        (_, written) = await hands.read_history(transition.instance.id)
        assert replace(written, id=0, workflow_id=0) == told


async def test_a_child_whose_external_id_is_taken_breaks_its_parents_transition_only(database_url: str) -> None:
    async with open_engine(database_url, PARENT_MODULE, CHILD_MODULE, ORDERS_MODULE) as hands:
        hand = await hands.add_executor()
        taken = await hands.create_instance("Child", external_id="child-1", group="elsewhere")
        id = await hands.create_instance("Parent")
        others = await run_with_others(hands, hand, id)
        before = await hands.get_instance(id), await hands.read_history(id)

        await check_one_refused(hand, others, id)

        assert (await hands.get_instance(id), await hands.read_history(id)) == before
        assert (await hands.get_instance(taken)).parent_id is None
        assert await hands.store.queries.list_children(id) == []
        for other in others[1:]:
            assert (await hands.get_instance(other.instance.id)).status is Status.FINISHED


async def run_with_others(engine: EngineHarness, executor: ManualExecutor, id: int) -> list[Transition]:
    """Return the transition of an instance, and those of twenty others."""
    for _ in range(20):
        await engine.create_instance()
    transitions = [await executor.run_instance(instance) for instance in await executor.claim_due()]
    return sorted(transitions, key=lambda transition: transition.instance.id != id)


async def check_one_refused(executor: ManualExecutor, transitions: list[Transition], id: int) -> None:
    """Commit as one batch; the first is refused, the others are committed."""
    async with executor.open_committer() as committer:
        results = await asyncio.gather(*map(committer.commit, transitions), return_exceptions=True)
    assert transitions[0].instance.id == id
    assert isinstance(results[0], RejectedError)
    assert results[1:] == transitions[1:]


async def test_a_value_that_no_database_takes_breaks_its_own_transition_only(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        hand = await hands.add_executor()
        id = await hands.create_instance()
        transitions = await run_with_others(hands, hand, id)
        bad = add_log_line(transitions[0], "half of a pair: \ud800")
        before = await hands.get_instance(id), await hands.read_history(id)

        await check_one_refused(hand, [bad, *transitions[1:]], id)

        assert (await hands.get_instance(id), await hands.read_history(id)) == before


async def update_workflow(engine: EngineHarness, sql: str) -> None:
    await engine.execute_sql(f"UPDATE flowlet_workflow SET {sql}")


LEASE_LOSS_SQL = {
    "its token has moved": "token = token + 1",
    "another executor holds it": "executor_id = 'executor-b'",
    "an operator has written it": "version = version + 5",
    "nobody holds it": "executor_id = NULL, status = 'IN_PROGRESS'",
}


async def test_a_lost_lease_writes_nothing_at_all(database_url: str, subtests: pytest.Subtests) -> None:
    async with open_engine(database_url, PARENT_MODULE, CHILD_MODULE) as hands:
        hand = await hands.add_executor()
        for name, loss in LEASE_LOSS_SQL.items():
            with subtests.test(name):
                id = await hands.create_instance("Parent")
                ran = await hand.run_instance(await hand.claim_instance(id))
                transition = add_log_line(replace(ran, vars_json='{"a":1}'), "a line")
                await update_workflow(hands, loss)
                before = await hands.read_tables()

                assert await hand.commit_transitions(transition) == [CommitResult.LOST]

                assert await hands.read_tables() == before


async def test_a_child_that_lost_its_lease_neither_counts_as_ended_nor_wakes_its_parent(database_url: str) -> None:
    async with open_engine(database_url, PARENT_MODULE, CHILD_MODULE) as hands:
        hand = await hands.add_executor()
        await hand.run_due_instance(await hands.create_instance("Parent"))
        (instance,) = await hand.claim_due()
        transition = await hand.run_instance(instance)
        await hands.execute_sql("UPDATE flowlet_workflow SET token = token + 1 WHERE id = :id", {"id": instance.id})
        before = await hands.read_tables()

        assert await hand.commit_transitions(transition) == [CommitResult.LOST]

        assert await hands.read_tables() == before


async def test_the_lost_rows_of_a_batch_do_not_keep_the_others_from_being_written(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        hand = await hands.add_executor()
        transitions = await run_new_instances(hands, hand, 5)
        lost = transitions[2].instance.id
        await hands.execute_sql("UPDATE flowlet_workflow SET token = token + 1 WHERE id = :id", {"id": lost})

        verdicts = await hand.commit_transitions(*transitions)

        assert verdicts == [CommitResult.LOST if t.instance.id == lost else CommitResult.COMMITTED for t in transitions]
        assert len(await hands.read_history(lost)) == 1
        assert (await hands.get_instance(lost)).state == "check"
        assert await hands.store.queries.count_by_type_and_status() == {
            ("Orders", "FINISHED"): 4,
            ("Orders", "EXECUTING"): 1,
        }


async def test_a_batch_that_is_sent_again_is_recognised_and_not_written_twice(database_url: str) -> None:
    async with open_engine(database_url, PARENT_MODULE, CHILD_MODULE, ORDERS_MODULE) as hands:
        hand = await hands.add_executor()
        await hands.create_instance("Parent")
        transitions = await run_new_instances(hands, hand, 3)
        assert set(await hand.commit_transitions(*transitions)) == {CommitResult.COMMITTED}
        before = await hands.read_tables()

        assert set(await hand.commit_transitions(*transitions)) == {CommitResult.COMMITTED}

        assert await hands.read_tables() == before


async def test_an_instance_that_keeps_its_lease_goes_on_under_the_next_version(database_url: str) -> None:
    @state(start=True, next=["wait"])
    async def begin() -> None: ...

    async with open_engine(database_url, build_workflow_module(begin=begin, wait=wait, done=done)) as hands:
        hand = await hands.add_executor()
        first = await hand.run_instance(await hand.claim_instance(await hands.create_instance()))

        assert await hand.commit_transitions(first) == [CommitResult.COMMITTED]
        second = await hand.run_instance(await hands.get_instance(first.instance.id))

        assert await hand.commit_transitions(second) == [CommitResult.COMMITTED]
        assert (await hands.get_instance(first.instance.id)).status is Status.FINISHED


async def test_a_pause_that_was_asked_for_meanwhile_is_told_before_anything_is_written(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        hand = await hands.add_executor()
        (transition,) = await run_new_instances(hands, hand, 1)
        await update_workflow(hands, "pause_requested = 1")
        before = await hands.read_tables()

        assert await hand.commit_transitions(transition) == [CommitResult.PAUSE_CHANGED]

        assert await hands.read_tables() == before
        assert await hand.commit_transitions(change_instance(transition, pause_requested=True)) == [
            CommitResult.COMMITTED
        ]


async def test_big_variables_are_kept_as_they_are(database_url: str) -> None:
    text = '{"text":"' + "ö🜁\\u0000%:a" * 100_000 + '"}'
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        hand = await hands.add_executor()
        transitions = await run_new_instances(hands, hand, 2)

        await hand.commit_transitions(*(replace(transition, vars_json=text) for transition in transitions))

        assert (await hands.get_instance(transitions[0].instance.id)).vars_json == text


async def test_a_committer_tells_a_lost_lease_by_none(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        hand = await hands.add_executor()
        (transition,) = await run_new_instances(hands, hand, 1)
        await update_workflow(hands, LEASE_LOSS_SQL["its token has moved"])

        async with hand.open_committer() as committer:
            assert await committer.commit(transition) is None


async def test_what_waits_when_a_committer_is_abandoned_is_lost(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        hand = await hands.add_executor()
        (transition,) = await run_new_instances(hands, hand, 1)
        before = await hands.read_tables()
        committer = Committer(hands.store, hand.id, max_batch_size=10)

        waiting = asyncio.ensure_future(committer.commit(transition))
        await committer.abandon()

        assert await waiting is None
        assert await hands.read_tables() == before
