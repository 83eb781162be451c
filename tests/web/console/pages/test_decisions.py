"""The last decision of a workflow: whose it is, and of which question."""

from __future__ import annotations

import asyncio

from flowlet.accounts.access import Access, set_access
from flowlet.instance.instance import Status
from flowlet.workflow.states import end, manual
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_workflow_module
from tests.operations.operations_harness import OPERATOR_NAME
from tests.web.console.workflow_page_client import WorkflowPageClient


async def test_a_decision_is_that_of_the_person_for_whom_a_key_has_acted(operator: WorkflowPageClient) -> None:
    seen = await operator.operations.create_in_status(Status.WAITING)

    async def answer_for_kim() -> None:
        set_access(Access("key 0excs0m5", on_behalf_of="kim"))
        await operator.operations.operations.answer(seen.id, "charge", form={"score": 3}, username=OPERATOR_NAME)

    await asyncio.create_task(answer_for_kim())  # in a context of its own
    notice = await operator.read_notice(await operator.submit_form(seen, "answer", choice="charge"))
    page = await operator.get_page(seen.id)

    assert notice.startswith(f"err: #{seen.id} was already answered by kim: ")
    assert "by <b><bdi>kim</bdi></b>" in page.text.partition('id="decision"')[2].partition("</p>")[0]


async def test_an_earlier_decision_is_not_that_of_a_question_whose_deadline_has_failed(
    operator: WorkflowPageClient,
) -> None:
    async def leave() -> None: ...

    module = build_workflow_module(
        workflow=Workflow("Signing"),
        check=manual(start=True, next={"sign": "Correct"})(leave),
        sign=manual(next={"over": "Sign"})(leave),
        over=end(),
    )
    operator.console.app_harness.services.registry.add(module)
    id = await operator.operations.hands.create_instance("Signing")
    await operator.operations.operations.answer(id, "sign", form={}, username=OPERATOR_NAME)
    moved = await operator.operations.run_until_released(id)
    await operator.operations.hands.execute_sql("UPDATE flowlet_workflow SET status = 'FAILED', version = version + 1")

    page = await operator.get_page(id)
    notice = await operator.read_notice(await operator.submit_form(moved, "answer", choice="over"))

    assert (moved.status, moved.state) == (Status.WAITING, "sign")
    assert 'id="decision"' not in page.text
    assert "Correct" not in notice
