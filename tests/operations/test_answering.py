"""Answers in a manual state: checked before anything moves, then the state's handler runs with them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from flowlet.errors import RefusedError, VariablesError
from flowlet.instances import ActionKind, Status
from tests.operations.desk import CLERK, Desk


async def test_an_answer_is_stored_and_makes_the_instance_due(desk: Desk) -> None:
    instance = await desk.at(Status.WAITING)
    desk.hands.clock.advance(5)

    after = await desk.operations.answer(instance.id, "charge", form={"comment": "fine"}, username=CLERK)

    assert after.answer is not None
    assert orjson.loads(after.answer) == {"choice": "charge", "form": {"comment": "fine"}, "username": CLERK}
    assert (after.status, after.state, after.next_activation) == (
        Status.IN_PROGRESS,
        "review",
        desk.hands.clock.now(),
    )
    assert (after.visit, after.version) == (instance.visit, instance.version + 1)
    assert await desk.get(instance.id) == after


async def test_the_history_tells_who_chose_what_by_its_label_and_keeps_the_form_to_itself(desk: Desk) -> None:
    instance = await desk.at(Status.WAITING)

    await desk.operations.answer(instance.id, "rejected", form={"comment": "secret"}, username=CLERK)

    line = await desk.last(instance.id)
    assert (line.kind, line.from_state, line.to_state) == (ActionKind.ANSWERED, "review", "rejected")
    assert (line.text, line.username, line.changes) == ("Reject", CLERK, None)


async def test_the_handler_runs_with_the_answer_and_the_choice_is_followed(desk: Desk) -> None:
    instance = await desk.at(Status.WAITING)
    await desk.operations.answer(instance.id, "rejected", form={"comment": "too dear"}, username=CLERK)

    after = await desk.drive(instance.id)

    logged = [line.text for line in await desk.hands.history(instance.id, ActionKind.LOG)]
    assert (after.status, after.state, logged) == (Status.FINISHED, "rejected", ["ada: too dear"])


async def test_the_first_of_two_answers_counts(desk: Desk) -> None:
    instance = await desk.at(Status.WAITING)
    await desk.operations.answer(instance.id, "charge", username=CLERK)

    with pytest.raises(RefusedError, match="it does not wait for an answer"):
        await desk.operations.answer(instance.id, "rejected", username="bob")

    assert (await desk.last(instance.id)).to_state == "charge"


@pytest.mark.parametrize("choice", ["delivered", "", "chargee", "x" * 10_000, "\x00"])
async def test_a_choice_that_the_state_does_not_offer_is_refused_with_those_it_does(
    sqlite_desk: Desk, choice: str
) -> None:
    instance = await sqlite_desk.at(Status.WAITING)
    before = await sqlite_desk.hands.contents()

    with pytest.raises(RefusedError, match="is no choice of 'review'") as refused:
        await sqlite_desk.operations.answer(instance.id, choice, username=CLERK)

    assert refused.value.permitted == ("charge", "rejected")
    assert await sqlite_desk.hands.contents() == before


@pytest.mark.parametrize(
    ("form", "faulty"),
    [({"score": "many"}, "score"), ({"comment": None}, "comment"), ({"score": object()}, ""), ([1], "")],
)
async def test_a_form_that_does_not_fit_goes_back_with_its_faults_and_nothing_moves(
    sqlite_desk: Desk, form: Any, faulty: str
) -> None:
    instance = await sqlite_desk.at(Status.WAITING)
    before = await sqlite_desk.hands.contents()

    with pytest.raises(VariablesError, match="the form of 'review'") as refused:
        await sqlite_desk.operations.answer(instance.id, "charge", form=form, username=CLERK)

    assert list(refused.value.faults) == [faulty]
    assert await sqlite_desk.hands.contents() == before


async def test_values_for_a_state_without_a_form_are_refused(sqlite_desk: Desk) -> None:
    later = await sqlite_desk.at(Status.IN_PROGRESS)
    await sqlite_desk.operations.move(later.id, "sign", username=CLERK)

    with pytest.raises(VariablesError, match="comment: this state has no form"):
        await sqlite_desk.operations.answer(later.id, "delivered", form={"comment": "fine"}, username=CLERK)

    after = await sqlite_desk.operations.answer(later.id, "delivered", form={}, username=CLERK)
    assert after.status == Status.IN_PROGRESS


async def test_an_answer_to_a_state_whose_deadline_is_being_acted_on_is_refused(desk: Desk) -> None:
    instance = await desk.at(Status.WAITING)
    desk.hands.clock.advance(4 * 86_400_000_000)
    await desk.claim(instance.id)

    with pytest.raises(RefusedError, match="EXECUTING"):
        await desk.operations.answer(instance.id, "charge", username=CLERK)
