"""What surrounds activations: continuing under the same lease, and giving it up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flowlet.definition import Definition
from flowlet.engine.handover import continued, hand_back
from flowlet.instances import ActionKind, Status
from flowlet.states import State, end, state
from flowlet.transitions import Next, child
from tests.engine.making import EXECUTOR, SECOND, START, Bench, leased, only


def circling(bench: Bench) -> Definition:
    @state(start=True, next=["check", "done"])
    async def check() -> Next:
        bench.clock.advance(SECOND)
        again: State[[], object] = check  # type: ignore[assignment]  # its own type is not known inside
        return again.spawn([child("Orders"), child("Orders")])

    return bench.define(check=check, done=end())


async def test_an_instance_continues_as_its_commit_left_it() -> None:
    bench = Bench()
    instance = leased(
        circling(bench), attempt=2, visit=3, streak=4, version=8, crashes=1, children=5, open_children=1, reason="late"
    )

    transition = await bench.run(instance)
    after = continued(instance, replace(transition, vars='{"a":1}'))

    assert after == replace(
        instance,
        vars='{"a":1}',
        attempt=0,
        visit=4,
        streak=5,
        version=9,
        crashes=0,
        children=7,
        open_children=3,
        reason=None,
        modified=START + SECOND,
    )


async def test_unchanged_variables_are_carried_on() -> None:
    bench = Bench()
    instance = leased(circling(bench), vars='{"a":1}')

    assert continued(instance, await bench.run(instance)).vars == '{"a":1}'


async def test_a_transition_that_gave_up_the_lease_cannot_be_continued() -> None:
    instance = leased(circling(Bench()))
    released = hand_back(instance, now=START, executor_id=EXECUTOR, reason="stopping")

    with pytest.raises(ValueError, match="a transition to IN_PROGRESS gave up the lease"):
        continued(instance, released)


def test_an_instance_handed_back_is_due_at_once_and_otherwise_as_it_was() -> None:
    instance = leased(
        circling(Bench()), attempt=2, visit=3, streak=4, answer='{"choice":"done"}', reason="ValueError: late"
    )

    transition = hand_back(instance, now=START + SECOND, executor_id=EXECUTOR, reason="the executor is stopping")

    assert (transition.state, transition.status, transition.vars) == ("check", Status.IN_PROGRESS, None)
    assert (transition.next_activation, transition.at) == (START + SECOND, START + SECOND)
    assert (transition.attempt, transition.visit, transition.streak) == (2, 3, 4)
    assert (transition.answer, transition.reason) == (instance.answer, instance.reason)
    action = only(transition, ActionKind.RELEASED)
    assert (action.text, action.executor_id, action.from_state) == ("the executor is stopping", EXECUTOR, "check")
