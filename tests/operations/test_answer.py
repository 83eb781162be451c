"""Answers in a manual state: checked before anything moves, then the state's handler runs with them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from flowlet.errors import RefusedError, VariablesError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from tests.operations.operations_harness import OPERATOR_NAME, Decision, OperationsHarness


async def test_an_answer_is_stored_and_makes_the_instance_due(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.WAITING)
    harness.hands.clock.advance(5)

    after = await harness.operations.answer(instance.id, "charge", form={"comment": "fine"}, username=OPERATOR_NAME)

    assert after.answer_json is not None
    assert orjson.loads(after.answer_json) == {
        "choice": "charge",
        "form": {"comment": "fine"},
        "username": OPERATOR_NAME,
    }
    assert (after.status, after.state, after.next_activation_us) == (
        Status.IN_PROGRESS,
        "review",
        harness.hands.clock.now(),
    )
    assert (after.visit, after.version) == (instance.visit, instance.version + 1)
    assert await harness.get_instance(instance.id) == after


async def test_a_form_may_be_given_as_its_model(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.WAITING)

    after = await harness.operations.answer(
        instance.id, "charge", form=Decision(comment="fine"), username=OPERATOR_NAME
    )

    assert after.answer == {
        "choice": "charge",
        "form": {"comment": "fine", "score": 0},
        "username": OPERATOR_NAME,
    }


async def test_the_history_tells_who_chose_what_by_its_label(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.WAITING)

    await harness.operations.answer(instance.id, "rejected", form={"comment": "dear"}, username=OPERATOR_NAME)

    line = await harness.read_last_action(instance.id)
    assert (line.kind, line.from_state, line.to_state) == (ActionKind.ANSWERED, "review", "rejected")
    assert (line.text, line.username, line.changes_json) == ("Reject", OPERATOR_NAME, None)


async def test_the_choice_and_the_form_stay_in_the_history_when_the_instance_has_moved_on(
    harness: OperationsHarness,
) -> None:
    instance = await harness.create_in_status(Status.WAITING)
    await harness.operations.answer(instance.id, "rejected", form={"comment": "too dear"}, username=OPERATOR_NAME)

    after = await harness.run_until_released(instance.id)

    assert (after.state, after.answer) == ("rejected", None)
    (line,) = await harness.hands.read_history(instance.id, ActionKind.ANSWERED)
    assert line.answer == {"choice": "rejected", "form": {"comment": "too dear"}}


async def test_the_handler_runs_with_the_answer_and_the_choice_is_followed(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.WAITING)
    await harness.operations.answer(instance.id, "rejected", form={"comment": "too dear"}, username=OPERATOR_NAME)

    after = await harness.run_until_released(instance.id)

    logged = [line.text for line in await harness.hands.read_history(instance.id, ActionKind.LOG)]
    assert (after.status, after.state, logged) == (Status.FINISHED, "rejected", ["ada: too dear"])


async def test_the_first_of_two_answers_counts(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.WAITING)
    await harness.operations.answer(instance.id, "charge", username=OPERATOR_NAME)

    with pytest.raises(RefusedError, match="it does not wait for an answer"):
        await harness.operations.answer(instance.id, "rejected", username="bob")

    assert (await harness.read_last_action(instance.id)).to_state == "charge"


@pytest.mark.parametrize("choice", ["delivered", "", "chargee", "x" * 10_000, "\x00"])
async def test_a_choice_that_the_state_does_not_offer_is_refused_with_those_it_does(
    sqlite_harness: OperationsHarness, choice: str
) -> None:
    instance = await sqlite_harness.create_in_status(Status.WAITING)
    before = await sqlite_harness.hands.read_tables()

    with pytest.raises(RefusedError, match="is not a choice of 'review'") as refused:
        await sqlite_harness.operations.answer(instance.id, choice, username=OPERATOR_NAME)

    assert refused.value.permitted == ("charge", "rejected")
    assert await sqlite_harness.hands.read_tables() == before


@pytest.mark.parametrize(
    ("form", "faulty"),
    [({"score": "many"}, "score"), ({"comment": None}, "comment"), ({"score": object()}, "score"), ([1], "")],
)
async def test_a_form_that_does_not_fit_goes_back_with_its_faults_and_nothing_moves(
    sqlite_harness: OperationsHarness, form: Any, faulty: str
) -> None:
    instance = await sqlite_harness.create_in_status(Status.WAITING)
    before = await sqlite_harness.hands.read_tables()

    with pytest.raises(VariablesError, match="the form of 'review'") as refused:
        await sqlite_harness.operations.answer(instance.id, "charge", form=form, username=OPERATOR_NAME)

    assert list(refused.value.faults) == [faulty]
    assert await sqlite_harness.hands.read_tables() == before


async def test_values_for_a_state_without_a_form_are_refused(sqlite_harness: OperationsHarness) -> None:
    later = await sqlite_harness.create_in_status(Status.IN_PROGRESS)
    await sqlite_harness.operations.move(later.id, "sign", username=OPERATOR_NAME)

    with pytest.raises(VariablesError, match="comment: this state has no form"):
        await sqlite_harness.operations.answer(later.id, "delivered", form={"comment": "fine"}, username=OPERATOR_NAME)

    after = await sqlite_harness.operations.answer(later.id, "delivered", form={}, username=OPERATOR_NAME)
    assert after.status == Status.IN_PROGRESS


async def test_an_answer_to_a_state_whose_deadline_is_being_acted_on_is_refused(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.WAITING)
    harness.hands.clock.advance(4 * 86_400_000_000)
    await harness.claim_instance(instance.id)

    with pytest.raises(RefusedError, match="EXECUTING"):
        await harness.operations.answer(instance.id, "charge", username=OPERATOR_NAME)
