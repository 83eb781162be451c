"""An order with everything that a harness has to bring about: a question, a failing service, timers, a child."""

from typing import Protocol

from pydantic import BaseModel

from flowlet import Context, Fail, Next, Retry, Workflow, end, error, manual, state
from flowlet.workflow.outcome import child


class Charges(Protocol):
    """What charges a customer."""

    async def charge(self, amount: int, key: str) -> str: ...


class Order(BaseModel):
    amount: int
    charge_id: str | None = None


class Decision(BaseModel):
    comment: str = ""


workflow = Workflow("OrderWorkflow", vars=Order, retry=Retry(limit=3, min="10s", max="1m", backoff="linear"))


@state(start=True, next=["review", "charge"])
async def check(order: Order) -> Next:
    if order.amount <= 0:
        raise Fail("nothing was ordered")
    return review if order.amount > 1000 else charge


@manual(next=["charge", "rejected"], form=Decision, deadline="3 days", on_deadline="rejected")
async def review(decision: Decision, ctx: Context) -> None:
    ctx.log(f"{ctx.username}: {decision.comment}")


@state(next=["ship"])
async def charge(order: Order, charges: Charges, ctx: Context) -> Next:
    order.charge_id = await charges.charge(order.amount, ctx.idempotency_key)
    return ship.after("10 minutes")


@state(next=["deliver"])
async def ship() -> Next:
    return deliver.spawn(child("ParcelWorkflow")).when_children_end()


@state(next=["done"])
async def deliver() -> None: ...


done = end("The order has arrived.")
rejected = error("Turned down by a person.")
