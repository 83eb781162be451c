"""Manual states: an answer runs the handler, a deadline does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from flowlet.definition.definition import Definition
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.workflow.context import Context
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import end, manual, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import ActivationHarness, get_only_action, list_action_kinds


class Decision(BaseModel):
    comment: str = "none"


def build_answer(choice: str, **form: Any) -> str:
    return json.dumps({"choice": choice, "form": form, "username": "ada"})


@pytest.fixture
def harness() -> ActivationHarness:
    return ActivationHarness()


def build_review_definition(harness: ActivationHarness, result: Any = None, **deadline: Any) -> Definition:
    @state(start=True, next=["review"])
    async def check() -> None:
        return None

    @manual(next=["approved", "rejected"], form=Decision, **deadline)
    async def review(decision: Decision, ctx: Context) -> Any:
        ctx.log(f"{ctx.username}, {ctx.choice}: {decision.comment}")
        if isinstance(result, Exception):
            raise result
        return result

    workflow = Workflow("Orders", retry=Retry(limit=1, min="1m", backoff="linear"))
    return harness.add_definition(workflow=workflow, check=check, review=review, approved=end(), rejected=end())


async def test_returning_nothing_follows_the_choice(harness: ActivationHarness) -> None:
    given = build_answer("approved", comment="fine")

    transition = await harness.run_first_activation(build_review_definition(harness), state="review", answer_json=given)

    assert (transition.state, transition.status, transition.answer_json) == ("approved", Status.FINISHED, None)
    assert get_only_action(transition, ActionKind.LOG).text == "ada, approved: fine"
    assert get_only_action(transition, ActionKind.TRANSITION).username == "ada"


async def test_returning_a_state_overrides_the_choice(harness: ActivationHarness) -> None:
    transition = await harness.run_first_activation(
        build_review_definition(harness, "rejected"), state="review", answer_json=build_answer("approved")
    )

    assert transition.state == "rejected"


async def test_a_choice_that_this_version_does_not_know_waits_for_one_that_does(harness: ActivationHarness) -> None:
    given = build_answer("postponed")

    transition = await harness.run_first_activation(build_review_definition(harness), state="review", answer_json=given)

    (line,) = transition.actions
    assert (line.kind, line.text) == (ActionKind.GATED, transition.reason)
    assert transition.reason == (
        "waits for another version: Orders version 1 has no transition from 'review' to 'postponed'"
    )
    assert (transition.status, transition.answer_json, transition.attempt) == (Status.IN_PROGRESS, given, 0)


async def test_a_choice_under_its_former_name_leads_to_the_renamed_state(harness: ActivationHarness) -> None:
    @manual(start=True, next=["accepted"])
    async def review() -> None: ...

    definition = harness.add_definition(review=review, accepted=end(renamed_from="approved"))

    transition = await harness.run_first_activation(definition, answer_json=build_answer("approved"))

    assert (transition.state, transition.status) == ("accepted", Status.FINISHED)


async def test_a_form_that_this_version_cannot_read_waits_for_one_that_can_and_is_not_shown(
    harness: ActivationHarness,
) -> None:
    given = build_answer("approved", comment=["secret"])

    transition = await harness.run_first_activation(build_review_definition(harness), state="review", answer_json=given)

    assert list_action_kinds(transition) == [ActionKind.GATED]
    assert str(transition.reason).startswith(
        "waits for another version: Orders version 1 cannot read the form of 'review': comment: "
    )
    assert "secret" not in str(transition.actions)


async def test_a_failed_handler_keeps_the_answer_for_its_next_attempt(harness: ActivationHarness) -> None:
    definition, given = build_review_definition(harness, ValueError("no bank")), build_answer("approved")

    transition = await harness.run_first_activation(definition, state="review", answer_json=given)

    assert (transition.status, transition.answer_json) == (Status.IN_PROGRESS, given)
    assert transition.next_activation_us == harness.get_time_after(minutes=1)


async def test_a_handler_out_of_attempts_keeps_the_answer_for_a_retry(harness: ActivationHarness) -> None:
    definition, given = build_review_definition(harness, ValueError("no bank")), build_answer("approved")

    transition = await harness.run_first_activation(definition, state="review", answer_json=given, attempt=1)

    assert (transition.status, transition.answer_json) == (Status.FAILED, given)


async def test_the_deadline_goes_where_it_says_without_running_the_handler(harness: ActivationHarness) -> None:
    definition = build_review_definition(harness, deadline="1h", on_deadline="rejected")

    transition = await harness.run_first_activation(definition, state="review", visit=2)

    assert (transition.state, transition.status, transition.visit) == ("rejected", Status.FINISHED, 3)
    assert list_action_kinds(transition) == [ActionKind.TRANSITION]
    assert get_only_action(transition, ActionKind.TRANSITION).text == "no answer before the deadline"


async def test_an_instance_due_in_a_manual_state_that_has_no_deadline_goes_back_to_its_wait(
    harness: ActivationHarness,
) -> None:
    transition = await harness.run_first_activation(build_review_definition(harness), state="review", visit=2)

    assert (transition.state, transition.status, transition.visit) == ("review", Status.WAITING, 2)
    assert (transition.next_activation_us, transition.actions) == (None, ())
