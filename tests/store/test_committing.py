"""Committing: a transition is one commit, and only the lease's holder writes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from flowlet.engine.committer import Committer, RejectedError
from flowlet.instances import Action, ActionKind, Status
from flowlet.states import Workflow, end, state
from flowlet.store.instances import Verdict
from flowlet.transitions import Next, Transition, child
from tests.engine.hands import Hand, Hands, opened
from tests.engine.making import one_state, workflow_module


@state(start=True, next=["wait"])
async def spawning() -> Next:
    return wait.spawn(child("Child").named(external_id="child-1")).when_children_end()


@state(next=["done"])
async def wait() -> None: ...


@state(start=True, next=["done"])
async def end_at_once() -> Next:
    return done.wake_parent()


done = end()
PARENT = workflow_module(workflow=Workflow("Parent"), spawning=spawning, wait=wait, done=done)
CHILD = workflow_module(workflow=Workflow("Child"), end_at_once=end_at_once, done=done)


async def finishing() -> str:
    return "done"


ORDERS = workflow_module(**one_state(finishing))


def with_text(transition: Transition, text: str) -> Transition:
    """Return the transition with one more line of history."""
    line = Action(ActionKind.LOG, transition.at, text=text)
    return replace(transition, actions=(*transition.actions, line))


def with_instance(transition: Transition, **changes: Any) -> Transition:
    """Return the transition with another fence."""
    return replace(transition, instance=replace(transition.instance, **changes))


async def executed(hands: Hands, hand: Hand, count: int) -> list[Transition]:
    """Return the uncommitted transitions of new instances."""
    for _ in range(count):
        await hands.create()
    return [await hand.run(instance) for instance in await hand.claim()]


async def test_a_transition_writes_everything_that_belongs_to_it(database_url: str) -> None:
    async with opened(database_url, PARENT, CHILD) as hands:
        hand = await hands.hand()
        id = await hands.create("Parent")
        transition = replace(await hand.run(await hand.claim_one(id)), vars='{"a":1}')

        assert await hand.commit(transition) == [Verdict.COMMITTED]

        parent = await hands.get(id)
        (spawned,) = await hands.store.reads.children(id)
        assert (parent.state, parent.status, parent.vars) == ("wait", Status.IN_PROGRESS, '{"a":1}')
        assert (parent.executor_id, parent.version, parent.visit) == (None, transition.instance.version + 1, 1)
        assert (parent.children, parent.open_children, parent.waits_for_children) == (1, 1, True)
        assert (spawned.external_id, spawned.parent_id, spawned.status) == ("child-1", id, Status.NEW)
        assert [line.kind for line in await hands.history(id)] == [ActionKind.CREATED, ActionKind.TRANSITION]
        assert [line.kind for line in await hands.history(spawned.id)] == [ActionKind.CREATED]


async def test_the_history_is_written_as_it_was_told(database_url: str) -> None:
    async with opened(database_url, ORDERS) as hands:
        hand = await hands.hand()
        (transition,) = await executed(hands, hand, 1)
        told = replace(
            transition.actions[0],
            text='it\'s 100 % "done" \\ with :colons ☃ 🜁\nand lines',
            username="anna",
            detail="Traceback",
            changes='{"set":{"a":1},"unset":["b"]}',
            attempt=2,
            duration_ms=2**40,
        )

        await hand.commit(replace(transition, actions=(told,)))

        (_, written) = await hands.history(transition.instance.id)
        assert replace(written, id=0, workflow_id=0) == told


async def test_a_child_whose_external_id_is_taken_breaks_its_parents_transition_only(database_url: str) -> None:
    async with opened(database_url, PARENT, CHILD, ORDERS) as hands:
        hand = await hands.hand()
        taken = await hands.create("Child", external_id="child-1", group="elsewhere")
        id = await hands.create("Parent")
        others = await executed_besides(hands, hand, id)
        before = await hands.get(id), await hands.history(id)

        await commit_with_one_refused(hand, others, id)

        assert (await hands.get(id), await hands.history(id)) == before
        assert (await hands.get(taken)).parent_id is None
        assert await hands.store.reads.children(id) == []
        for other in others[1:]:
            assert (await hands.get(other.instance.id)).status is Status.FINISHED


async def executed_besides(hands: Hands, hand: Hand, id: int) -> list[Transition]:
    """Return the transition of an instance, and those of twenty others."""
    for _ in range(20):
        await hands.create()
    transitions = [await hand.run(instance) for instance in await hand.claim()]
    return sorted(transitions, key=lambda transition: transition.instance.id != id)


async def commit_with_one_refused(hand: Hand, transitions: list[Transition], id: int) -> None:
    """Commit as one batch; the first is refused, the others are committed."""
    async with hand.committer() as committer:
        results = await asyncio.gather(*map(committer.commit, transitions), return_exceptions=True)
    assert transitions[0].instance.id == id
    assert isinstance(results[0], RejectedError)
    assert results[1:] == transitions[1:]


async def test_a_value_that_no_database_takes_breaks_its_own_transition_only(database_url: str) -> None:
    async with opened(database_url, ORDERS) as hands:
        hand = await hands.hand()
        id = await hands.create()
        transitions = await executed_besides(hands, hand, id)
        bad = with_text(transitions[0], "half of a pair: \ud800")
        before = await hands.get(id), await hands.history(id)

        await commit_with_one_refused(hand, [bad, *transitions[1:]], id)

        assert (await hands.get(id), await hands.history(id)) == before


async def moved(hands: Hands, sql: str) -> None:
    await hands.execute(f"UPDATE workflow SET {sql}")


LOSSES = {
    "its token has moved": "token = token + 1",
    "another executor holds it": "executor_id = 'executor-b'",
    "nobody holds it": "executor_id = NULL, status = 'IN_PROGRESS'",
    "an operator has written it": "version = version + 5",
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
async def test_a_lost_lease_writes_nothing_at_all(database_url: str, loss: str) -> None:
    async with opened(database_url, PARENT, CHILD) as hands:
        hand = await hands.hand()
        id = await hands.create("Parent")
        transition = with_text(replace(await hand.run(await hand.claim_one(id)), vars='{"a":1}'), "a line")
        await moved(hands, loss)
        before = await hands.contents()

        assert await hand.commit(transition) == [Verdict.LOST]

        assert await hands.contents() == before


async def test_a_child_that_lost_its_lease_neither_counts_as_ended_nor_wakes_its_parent(database_url: str) -> None:
    async with opened(database_url, PARENT, CHILD) as hands:
        hand = await hands.hand()
        await hand.move(await hands.create("Parent"))
        (instance,) = await hand.claim()
        transition = await hand.run(instance)
        await hands.execute("UPDATE workflow SET token = token + 1 WHERE id = :id", {"id": instance.id})
        before = await hands.contents()

        assert await hand.commit(transition) == [Verdict.LOST]

        assert await hands.contents() == before


async def test_the_lost_rows_of_a_batch_do_not_keep_the_others_from_being_written(database_url: str) -> None:
    async with opened(database_url, ORDERS) as hands:
        hand = await hands.hand()
        transitions = await executed(hands, hand, 5)
        lost = transitions[2].instance.id
        await hands.execute("UPDATE workflow SET token = token + 1 WHERE id = :id", {"id": lost})

        verdicts = await hand.commit(*transitions)

        assert verdicts == [Verdict.LOST if t.instance.id == lost else Verdict.COMMITTED for t in transitions]
        assert len(await hands.history(lost)) == 1
        assert (await hands.get(lost)).state == "check"
        assert await hands.store.reads.counts() == {("Orders", "FINISHED"): 4, ("Orders", "EXECUTING"): 1}


async def test_a_batch_that_is_sent_again_is_recognised_and_not_written_twice(database_url: str) -> None:
    async with opened(database_url, PARENT, CHILD, ORDERS) as hands:
        hand = await hands.hand()
        await hands.create("Parent")
        transitions = await executed(hands, hand, 3)
        assert set(await hand.commit(*transitions)) == {Verdict.COMMITTED}
        before = await hands.contents()

        assert set(await hand.commit(*transitions)) == {Verdict.COMMITTED}

        assert await hands.contents() == before


async def test_an_instance_that_keeps_its_lease_goes_on_under_the_next_version(database_url: str) -> None:
    @state(start=True, next=["wait"])
    async def begin() -> None: ...

    async with opened(database_url, workflow_module(begin=begin, wait=wait, done=done)) as hands:
        hand = await hands.hand()
        first = await hand.run(await hand.claim_one(await hands.create()))

        assert await hand.commit(first) == [Verdict.COMMITTED]
        second = await hand.run(await hands.get(first.instance.id))

        assert await hand.commit(second) == [Verdict.COMMITTED]
        assert (await hands.get(first.instance.id)).status is Status.FINISHED


async def test_a_pause_that_was_asked_for_meanwhile_is_told_before_anything_is_written(database_url: str) -> None:
    async with opened(database_url, ORDERS) as hands:
        hand = await hands.hand()
        (transition,) = await executed(hands, hand, 1)
        await moved(hands, "pause_requested = 1")
        before = await hands.contents()

        assert await hand.commit(transition) == [Verdict.PAUSING]

        assert await hands.contents() == before
        assert await hand.commit(with_instance(transition, pause_requested=True)) == [Verdict.COMMITTED]


async def test_big_variables_are_kept_as_they_are(database_url: str) -> None:
    text = '{"text":"' + "ö🜁\\u0000%:a" * 100_000 + '"}'
    async with opened(database_url, ORDERS) as hands:
        hand = await hands.hand()
        transitions = await executed(hands, hand, 2)

        await hand.commit(*(replace(transition, vars=text) for transition in transitions))

        assert (await hands.get(transitions[0].instance.id)).vars == text


async def test_a_committer_tells_a_lost_lease_by_none(database_url: str) -> None:
    async with opened(database_url, ORDERS) as hands:
        hand = await hands.hand()
        (transition,) = await executed(hands, hand, 1)
        await moved(hands, LOSSES["its token has moved"])

        async with hand.committer() as committer:
            assert await committer.commit(transition) is None


async def test_what_waits_when_a_committer_is_abandoned_is_lost(database_url: str) -> None:
    async with opened(database_url, ORDERS) as hands:
        hand = await hands.hand()
        (transition,) = await executed(hands, hand, 1)
        before = await hands.contents()
        committer = Committer(hands.store, hand.id, limit=10)

        waiting = asyncio.ensure_future(committer.commit(transition))
        await committer.abandon()

        assert await waiting is None
        assert await hands.contents() == before
