"""The messages of a workflow's page: what waits unread, and a form that sends one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from html import unescape

import pytest

from flowlet.accounts.roles import Role
from flowlet.instance.instance import Instance, Status
from flowlet.instance.message import MessageWait
from flowlet.store.reports.inbox import count_asking, count_waiting
from tests.engine.messages import payments
from tests.web.console.workflow_page_client import WorkflowPageClient, open_workflow_page_client


@pytest.fixture
async def page(sqlite_url: str) -> AsyncIterator[WorkflowPageClient]:
    async with open_workflow_page_client(sqlite_url, Role.OPERATOR) as page:
        page.console.app_harness.services.registry.add(payments)
        yield page


async def start_waiting(page: WorkflowPageClient) -> Instance:
    """Return an instance that waits for a message."""
    services = page.console.app_harness.services
    created = await services.operations.create("Payments")
    sql = (
        "UPDATE flowlet_workflow SET status = 'WAITING', state = 'collect', next_activation = NULL, awaits = :awaits "
        "WHERE id = :id"
    )
    values = {"id": created.id, "awaits": MessageWait(("payment",), None).write()}
    await services.store.connections.write(lambda session: session.execute(sql, values))
    return await services.store.queries.get(created.id)


async def test_a_message_is_sent_by_the_form_of_its_model(page: WorkflowPageClient) -> None:
    instance = await start_waiting(page)
    shown = unescape((await page.get_page(instance.id)).text)
    fields = {"value-amount": "7", "form_id": "form-1"}

    notices = [await page.read_notice(await page.submit_form(instance, "messages/payment", **fields)) for _ in range(2)]

    assert "Send payment…" in shown
    assert shown.index("Send payment…") < shown.index("Send go…")
    assert notices == ["ok: Sent payment.", "ok: Nothing sent: payment was sent before."]
    after = await page.console.app_harness.services.store.queries.get(instance.id)
    assert (after.status, after.unread) == (Status.IN_PROGRESS, 1)
    text = unescape((await page.get_page(instance.id)).text)
    assert '{"amount":7}' in text.replace(" ", "")
    assert "1 unread" in text


async def test_a_form_with_faults_is_shown_again(page: WorkflowPageClient) -> None:
    instance = await start_waiting(page)

    answer = await page.submit_form(instance, "messages/payment", **{"value-amount": "much"})
    unknown = await page.submit_form(instance, "messages/paymnet")

    assert answer.status_code == 422
    assert "Enter a whole number" in answer.text
    assert 'value="much"' in answer.text
    assert "receives no message 'paymnet'" in await page.read_notice(unknown)


async def test_a_receive_state_waits_for_no_person(page: WorkflowPageClient) -> None:
    await start_waiting(page)
    connections = page.console.app_harness.services.store.connections

    assert await count_waiting(connections) == 0
    assert await count_asking(connections) == {}
    inbox = (await page.browser.get("/inbox")).text
    assert "Payments" not in inbox
    assert "waiting for a decision" not in (await page.browser.get("/")).text
