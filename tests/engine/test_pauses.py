"""Waiting for people: questions, their deadlines, and pauses, whatever runs at that moment."""

from __future__ import annotations

import asyncio
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

from flowlet.errors import Fail, RefusedError, VariablesError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.testing import Harness
from flowlet.workflow.context import Context
from flowlet.workflow.outcome import child
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import Next, end, error, manual, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module


class Decision(BaseModel):
    discount: int = 0


def build_review_module() -> ModuleType:
    @state(start=True, next=["review"])
    async def check() -> None: ...

    @manual(next={"charge": "Approve", "rejected": "Reject"}, form=Decision, deadline="3 days", on_deadline="rejected")
    async def review(decision: Decision, ctx: Context) -> Next | None:
        if decision.discount > 100:
            raise Fail("more than everything")
        ctx.vars["discount"] = decision.discount
        ctx.log(f"{ctx.username} chose {ctx.choice}")
        return rejected if decision.discount == 100 else None

    @state(next=["done"])
    async def charge() -> None: ...

    rejected = error("Turned down.")
    return build_workflow_module(check=check, review=review, charge=charge, done=end(), rejected=rejected)


async def test_an_answer_runs_the_handler_and_follows_the_choice(database_url: str) -> None:
    async with Harness(build_review_module(), database_url=database_url) as flow:
        id = await flow.start("Orders")

        await flow.answer(id, "charge", form={"discount": 5}, username="anna")

        assert await flow.path(id) == ["check", "review", "charge", "done"]
        assert await flow.vars(id) == {"discount": 5}
        answered, logged = (await flow.history(id))[2:4]
        assert (answered.kind, answered.username) == (ActionKind.ANSWERED, "anna")
        assert logged.text == "anna chose charge"
        assert (await flow.get(id)).answer_json is None


async def test_a_handler_may_decide_otherwise(database_url: str) -> None:
    async with Harness(build_review_module(), database_url=database_url) as flow:
        id = await flow.start("Orders")

        await flow.answer(id, "charge", form={"discount": 100})

        assert (await flow.get(id)).state == "rejected"


async def test_without_an_answer_the_deadline_decides_and_the_handler_does_not_run(database_url: str) -> None:
    async with Harness(build_review_module(), database_url=database_url) as flow:
        id = await flow.start("Orders")

        await flow.advance("3 days")

        assert await flow.path(id) == ["check", "review", "rejected"]
        assert await flow.vars(id) == {}
        assert (await flow.history(id))[-1].text == "no answer before the deadline"


async def test_of_an_answer_and_the_deadline_the_first_one_counts(database_url: str) -> None:
    async with Harness(build_review_module(), database_url=database_url) as flow:
        id = await flow.start("Orders")

        await flow.answer(id, "charge", settle=False)
        await flow.advance("4 days")

        assert (await flow.get(id)).status is Status.FINISHED
        with pytest.raises(RefusedError):
            await flow.answer(id, "rejected")


async def test_two_answers_that_race_give_one(database_url: str) -> None:
    async with Harness(build_review_module(), database_url=database_url) as flow:
        id = await flow.start("Orders")

        answers = [flow.answer(id, choice, settle=False) for choice in ("charge", "rejected", "charge")]
        results = await asyncio.gather(*answers, return_exceptions=True)
        await flow.settle()

        assert sum(isinstance(result, RefusedError) for result in results) == 2
        assert len(await flow.history(id, ActionKind.ANSWERED)) == 1


async def test_a_faulty_form_moves_nothing(database_url: str) -> None:
    async with Harness(build_review_module(), database_url=database_url) as flow:
        id = await flow.start("Orders")
        before = await flow.get(id)

        with pytest.raises(VariablesError, match="discount"):
            await flow.answer(id, "charge", form={"discount": "a lot"})

        assert await flow.get(id) == before


async def test_a_question_whose_handler_failed_for_good_is_asked_again_after_a_retry(database_url: str) -> None:
    async with Harness(build_review_module(), database_url=database_url) as flow:
        id = await flow.start("Orders")
        await flow.answer(id, "charge", form={"discount": 101})
        assert (await flow.get(id)).status is Status.FAILED

        await flow.operations.retry(id, username="anna")
        await flow.settle()

        assert (await flow.get(id)).state == "review"


class PausedWhileRunning:
    """Workflows whose first handler is paused while it runs."""

    def __init__(self) -> None:
        self.harness: Harness | None = None

    async def pause_instance(self, id: int) -> None:
        assert self.harness is not None
        await self.harness.operations.pause(id, username="anna")

    def build_module(self, target: str) -> ModuleType:
        @state(start=True, next=["straight", "ask", "done", "broken"])
        async def check(ctx: Context) -> Next:
            if ctx.attempt == 1:
                await self.pause_instance(ctx.workflow.id)
                ctx.vars["ran"] = True
            if target == "failure" and ctx.attempt == 1:
                raise ValueError("late")
            outcomes: dict[str, Next] = {
                "straight": straight,
                "failure": straight,
                "timer": straight.after("1 hour"),
                "children": straight.spawn(child("Child")).when_children_end(),
                "no children": straight.when_children_end(),
                "ask": ask,
                "done": done,
                "broken": broken,
            }
            return outcomes[target]

        @state(next=["done"])
        async def straight() -> None: ...

        @manual(next=["done"])
        async def ask() -> None: ...

        done, broken = end(), error("It broke.")
        workflow = Workflow("Orders", retry=Retry(min="1m", max="1m", backoff="linear"))
        return build_workflow_module(
            workflow=workflow, check=check, straight=straight, ask=ask, done=done, broken=broken
        )


async def finish() -> str:
    return "done"


CHILD_MODULE = build_workflow_module(workflow=Workflow("Child"), **build_single_state(finish))
HELD_STATUSES = {
    "straight": Status.IN_PROGRESS,
    "failure": Status.IN_PROGRESS,
    "timer": Status.IN_PROGRESS,
    "children": Status.IN_PROGRESS,
    "no children": Status.IN_PROGRESS,
    "ask": Status.WAITING,
}


@pytest.mark.parametrize("target", HELD_STATUSES)
async def test_a_pause_lets_the_activation_commit_then_holds_and_a_resume_goes_on(
    database_url: str, target: str
) -> None:
    pausing = PausedWhileRunning()
    async with Harness([pausing.build_module(target), CHILD_MODULE], database_url=database_url) as flow:
        pausing.harness = flow
        id = await flow.start("Orders")

        held = await flow.get(id)
        assert (held.status, held.held_status, held.executor_id) == (Status.PAUSED, HELD_STATUSES[target], None)
        assert not held.pause_requested
        assert await flow.vars(id) == ({} if target == "failure" else {"ran": True})
        await flow.advance("1 day")
        assert (await flow.get(id)).status is Status.PAUSED

        await flow.operations.resume(id, username="anna")
        await flow.settle()
        if target == "ask":
            await flow.answer(id, "done")

        assert (await flow.get(id)).status is Status.FINISHED


@pytest.mark.parametrize(("target", "status"), [("done", Status.FINISHED), ("broken", Status.FAILED)])
async def test_a_pause_that_comes_while_the_last_handler_runs_comes_too_late(
    database_url: str, target: str, status: Status
) -> None:
    pausing = PausedWhileRunning()
    async with Harness(pausing.build_module(target), database_url=database_url) as flow:
        pausing.harness = flow
        id = await flow.start("Orders")

        instance = await flow.get(id)
        assert (instance.status, instance.held_status, instance.pause_requested) == (status, None, False)


async def test_a_pause_that_is_taken_back_while_the_handler_runs_leaves_no_mark(database_url: str) -> None:
    box: list[Harness] = []

    async def check(ctx: Context) -> str:
        await box[0].operations.pause(ctx.workflow.id, username="anna")
        await box[0].operations.resume(ctx.workflow.id, username="anna")
        return "done"

    async with Harness(build_workflow_module(**build_single_state(check)), database_url=database_url) as flow:
        box.append(flow)

        assert (await flow.get(await flow.start("Orders"))).status is Status.FINISHED


async def test_a_pause_between_activations_holds_at_once(database_url: str) -> None:
    async with Harness(build_review_module(), database_url=database_url) as flow:
        id = await flow.start("Orders")

        await flow.operations.pause(id, username="anna")
        await flow.advance("4 days")
        assert (await flow.get(id)).status is Status.PAUSED
        await flow.operations.resume(id, username="anna")
        await flow.settle()

        assert (await flow.get(id)).state == "rejected"


async def test_what_waited_for_children_goes_on_after_a_pause_in_which_they_ended(database_url: str) -> None:
    pausing = PausedWhileRunning()
    async with Harness([pausing.build_module("children"), CHILD_MODULE], database_url=database_url) as flow:
        pausing.harness = flow
        id = await flow.start("Orders")
        (one,) = await flow.children(id)
        parent = await flow.get(id)
        assert (one.status, parent.open_children, parent.status) == (Status.FINISHED, 0, Status.PAUSED)

        await flow.operations.resume(id, username="anna")
        await flow.settle()

        assert (await flow.get(id)).status is Status.FINISHED


async def test_a_cancel_stops_the_activation_in_flight_without_a_trace_of_it(database_url: str) -> None:
    box: list[Harness] = []

    async def check(ctx: Context) -> str:
        ctx.vars["ran"] = True
        ctx.log("a line")
        await box[0].operations.cancel(ctx.workflow.id, username="anna")
        return "done"

    async with Harness(build_workflow_module(**build_single_state(check)), database_url=database_url) as flow:
        box.append(flow)
        id = await flow.start("Orders")

        instance = await flow.get(id)
        assert (instance.status, instance.state, await flow.vars(id)) == (Status.CANCELLED, "check", {})
        assert [line.kind for line in await flow.history(id)] == [ActionKind.CREATED, ActionKind.CANCELLED]


async def test_a_forced_move_takes_the_instance_from_its_activation(database_url: str) -> None:
    box: list[Any] = []

    @state(start=True, next=["other", "done"])
    async def check(ctx: Context) -> str:
        await box[0].operations.move(ctx.workflow.id, "other", username="anna", force=True, reason="by hand")
        return "done"

    @state(next=["done"])
    async def other(ctx: Context) -> None:
        ctx.vars["other"] = True

    async with Harness(build_workflow_module(check=check, other=other, done=end()), database_url=database_url) as flow:
        box.append(flow)
        id = await flow.start("Orders")

        assert await flow.path(id) == ["check", "other", "done"]
        assert await flow.vars(id) == {"other": True}
