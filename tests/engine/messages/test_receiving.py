"""An instance reads each message once, in whatever status the message finds it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from flowlet.errors import RefusedError, UnknownMessageError, VariablesError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Instance, Status
from flowlet.testing import Harness
from tests.engine.messages import payments
from tests.engine.messages.payments import find_broken_rows, list_messages


@pytest.fixture
async def flow(database_url: str) -> AsyncIterator[Harness]:
    async with Harness([payments], database_url=database_url) as flow:
        yield flow
        assert await find_broken_rows(flow.store, now=flow.clock.now()) == []


async def start(flow: Harness, status: str, **vars: Any) -> Instance:
    """Return an instance in one of the statuses in which a message may find it, before it has received one."""
    waits = {"NEW": "settle", "MANUAL": "wait"}.get(status, "")
    id = await flow.start("Payments", {"wait": waits == "wait", **vars}, settle=waits != "settle")
    if status in ("PAUSED", "MOVED"):
        await flow.operations.pause(id, username="ada")
    if status == "MOVED":
        await flow.operations.move(id, "collect", username="ada", force=True, reason="try")
    if status == "TIMER":
        await flow.send("payment", {"amount": 1, "fault": "pause"}, to=id, key="first")
    return await flow.get(id)


async def test_a_message_is_kept_until_a_state_reads_it(flow: Harness, subtests: pytest.Subtests) -> None:
    for status in ("NEW", "MANUAL", "WAITING", "PAUSED", "MOVED", "TIMER"):
        with subtests.test(status):
            instance = await start(flow, status)

            await flow.send("payment", {"amount": 10}, to=instance.id, key="a")
            if status == "MANUAL":
                await flow.answer(instance.id, "collect")
            if status in ("PAUSED", "MOVED"):
                assert (await flow.get(instance.id)).status is Status.PAUSED
                await flow.operations.resume(instance.id, username="ada")
                await flow.settle()
            await flow.advance("1 minute")

            ended = await flow.get(instance.id)
            assert (ended.state, ended.unread, ended.awaits_json, ended.message_id) == ("paid", 0, None, None)
            assert (await list_messages(flow, instance.id))[-1] == ("a", True)
            assert ended.vars["keys"].count("a") == 1


async def test_messages_are_read_in_their_order_each_by_one_transition(flow: Harness) -> None:
    id = (await start(flow, "NEW")).id
    for number in range(5):
        await flow.send("payment", {"amount": 2}, to=id, key=f"key-{number}", settle=False)

    await flow.settle()

    ended = await flow.get(id)
    assert (ended.state, ended.vars["keys"]) == ("paid", [f"key-{number}" for number in range(5)])
    texts = [line.text for line in await flow.history(id, ActionKind.TRANSITION)]
    assert texts == [None, *["message 'payment'"] * 5]


async def test_a_message_of_another_name_wakes_nothing_and_is_looked_at_once_on_entry(flow: Harness) -> None:
    id = (await start(flow, "NEW")).id
    await flow.send("go", to=id, key="early", settle=False)
    await flow.settle()
    waiting = await flow.get(id)
    assert (waiting.status, waiting.unread, waiting.unread_seen) == (Status.WAITING, 1, 1)

    await flow.send("go", to=id, key="late", settle=False)

    assert (await flow.get(id)).version == waiting.version
    assert (await flow._opened.worker.claim_due()).instance_count == 0
    await flow.send("payment", {"amount": 10}, to=id)
    assert (await flow.get(id)).state == "paid"
    assert await list_messages(flow, id) == [("early", False), ("late", False), (await _last_key(flow, id), True)]


async def test_a_failed_attempt_leaves_its_message_to_the_next_one(flow: Harness) -> None:
    id = (await start(flow, "WAITING")).id
    await flow.send("payment", {"amount": 4, "fault": "once"}, to=id, key="a")
    retrying = await flow.get(id)
    assert (retrying.status, retrying.attempt, retrying.unread) == (Status.IN_PROGRESS, 1, 1)

    await flow.send("payment", {"amount": 6}, to=id, key="b")
    assert (await flow.get(id)).next_activation == retrying.next_activation
    await flow.advance("1 minute")

    assert (await flow.get(id)).vars["keys"] == ["a", "b"]
    assert (await flow.get(id)).state == "paid"


async def test_on_error_consumes_the_message_that_failed(flow: Harness) -> None:
    id = (await start(flow, "WAITING")).id

    await flow.send("payment", {"amount": 4, "fault": "always"}, to=id, key="bad")

    assert (await flow.get(id)).state == "broken"
    await flow.send("go", to=id, key="go")
    assert (await flow.get(id)).state == "collect"
    assert await list_messages(flow, id) == [("bad", True), ("go", True)]


async def test_the_deadline_passes_only_without_a_message(flow: Harness) -> None:
    on_time, late = (await start(flow, "WAITING")).id, (await start(flow, "WAITING")).id
    flow.clock.advance(86_400_000_000)  # to the deadlines' very moment

    await flow.send("payment", {"amount": 10}, to=on_time, settle=False)
    await flow.settle()

    assert (await flow.get(on_time)).state == "paid"
    assert (await flow.get(late)).state == "late"
    with pytest.raises(RefusedError, match="has ended as FAILED"):
        await flow.send("payment", {"amount": 10}, to=late)


async def test_a_wait_that_was_looked_at_keeps_its_deadline(flow: Harness) -> None:
    instance = await start(flow, "WAITING")
    await flow.send("go", to=instance.id, settle=False)
    await flow.operations.move(instance.id, "broken", username="ada")
    await flow.settle()
    await flow.send("go", to=instance.id)
    await flow.advance("20 hours")
    entered = await flow.get(instance.id)
    assert entered.state == "collect"

    await flow.advance("5 hours")

    assert (await flow.get(instance.id)).state == "late"


async def test_a_move_a_cancel_and_an_end_leave_messages_unread(flow: Harness) -> None:
    moved, cancelled = (await start(flow, "WAITING")).id, (await start(flow, "WAITING")).id
    await flow.send("payment", {"amount": 1}, to=moved, settle=False)
    await flow.send("payment", {"amount": 1}, to=cancelled, key="once", settle=False)

    await flow.operations.move(moved, "withdrawn", username="ada")
    await flow.operations.cancel(cancelled, username="ada")

    for id in (moved, cancelled):
        assert (await flow.get(id)).unread == len(await flow.operations.list_unread(id)) == 1
    assert not (await flow.send("payment", {"amount": 1}, to=cancelled, key="once")).is_new
    with pytest.raises(RefusedError, match="has ended as CANCELLED"):
        await flow.send("payment", {"amount": 1}, to=cancelled, key="twice")


async def test_a_message_that_does_not_fit_is_refused_when_it_is_sent(flow: Harness) -> None:
    id = (await start(flow, "WAITING")).id

    with pytest.raises(VariablesError) as refused:
        await flow.send("payment", {"amount": "much"}, to=id)
    assert list(refused.value.faults) == ["amount"]
    with pytest.raises(UnknownMessageError, match=r"Did you mean 'payment'\? It receives: payment, withdrawn, go"):
        await flow.send("paymnet", {"amount": 1}, to=id)
    assert (await flow.get(id)).unread == 0


async def test_a_message_that_nobody_read_in_time_is_deleted_with_a_line_of_history(flow: Harness) -> None:
    id = (await start(flow, "MANUAL")).id
    await flow.send("payment", {"amount": 1}, to=id, key="short", expires="1 hour")
    await flow.send("payment", {"amount": 10}, to=id, key="long")
    await flow.advance("2 hours")

    await flow.answer(id, "collect")
    deleted = await flow.store.messages.delete_expired(now=flow.clock.now())

    assert (await flow.get(id)).vars["keys"] == ["long"]
    assert deleted == 1
    assert await list_messages(flow, id) == [("long", True)]
    assert [line.text for line in await flow.history(id, ActionKind.EXPIRED)] == ["message 'payment'"]


async def _last_key(flow: Harness, id: int) -> str:
    return (await list_messages(flow, id))[-1][0]
