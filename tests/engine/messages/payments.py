"""A workflow that waits for messages, and how a test looks at what became of them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from flowlet.errors import Fail
from flowlet.testing import Harness
from flowlet.workflow.context import Context
from flowlet.workflow.receive import receive
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import Next, end, error, manual, state
from flowlet.workflow.workflow import Workflow

__all__ = ["Account", "Payment", "find_broken_rows", "list_messages"]


class Account(BaseModel):
    wait: bool = False
    target: int = 10
    amounts: list[int] = []
    keys: list[str] = []


class Payment(BaseModel):
    amount: int
    fault: str = ""


class Withdrawal(BaseModel):
    why: str = ""


workflow = Workflow("Payments", vars=Account, retry=Retry(limit=1, min="1 minute", max="1 minute"))


@state(start=True, next=["approve", "collect"])
async def begin(account: Account) -> Next:
    return approve if account.wait else collect


@manual(next=["collect"])
async def approve() -> None: ...


@receive(
    messages={"payment": Payment, "withdrawn": Withdrawal},
    next=["collect", "pause", "paid", "withdrawn", "late", "broken"],
    deadline="1 day",
    on_deadline="late",
    on_error="broken",
)
async def collect(account: Account, message: Payment | Withdrawal, ctx: Context) -> Next:
    assert ctx.message is not None
    account.keys.append(ctx.message.key)
    if isinstance(message, Withdrawal):
        return withdrawn
    if message.fault == "once" and ctx.attempt == 1:
        raise ConnectionError("the bank is closed")
    if message.fault == "always":
        raise Fail("no such account")
    account.amounts.append(message.amount)
    if sum(account.amounts) >= account.target:
        return paid
    return pause.after("1 minute") if message.fault == "pause" else collect


@state(next=["collect"])
async def pause() -> None: ...


@receive(messages=["go"], next=["collect"])
async def broken(account: Account, ctx: Context) -> Next:
    assert ctx.message is not None
    account.keys.append(ctx.message.name)
    return collect


paid = end("All has been paid.")
withdrawn = end("Withdrawn.")
late = error("Nothing came in time.")


async def list_messages(flow: Harness, id: int) -> list[tuple[str, bool]]:
    """Return the keys of an instance's messages in their order, and whether each has been consumed."""
    sql = "SELECT message_key, consumed FROM flowlet_message WHERE workflow_id = :id ORDER BY id"
    rows = await flow.store.connections.read(lambda session: session.fetch_rows(sql, {"id": id}))
    return [(key, consumed is not None) for key, consumed in rows]


async def find_broken_rows(store: Any, *, now: int) -> list[tuple[Any, ...]]:
    """Return instances whose counter is not the number of their unread messages, or that wait although one came."""
    sql = (
        "SELECT w.id, w.status, w.unread, w.unread_seen, w.awaits FROM flowlet_workflow w WHERE w.unread <> "
        "(SELECT COUNT(*) FROM flowlet_message m WHERE m.workflow_id = w.id AND m.consumed IS NULL) "
        "OR (w.status = 'WAITING' AND w.awaits IS NOT NULL AND w.unread > w.unread_seen AND w.next_activation > :now)"
    )
    rows: list[tuple[Any, ...]] = await store.connections.read(lambda session: session.fetch_rows(sql, {"now": now}))
    return rows
