"""Take an order from stock check to delivery. Written as a user writes a module, with everything that authors use."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
from pydantic import BaseModel

from flowlet import (
    Breaker,
    ChildCounts,
    Children,
    ChildRequest,
    Context,
    Duration,
    Fail,
    Failure,
    Instance,
    Keep,
    Limit,
    Message,
    Next,
    Outcome,
    Rate,
    Retry,
    Schedule,
    State,
    StateKind,
    Status,
    Team,
    Transaction,
    TypedChild,
    Workflow,
    child,
    end,
    error,
    manual,
    migrate,
    receive,
    state,
    team,
)


class Order(BaseModel):
    sku: str
    amount: int
    charge_id: str | None = None


class Decision(BaseModel):
    comment: str = ""


class Claim(BaseModel):
    text: str


nightly = Schedule("0 3 * * *", name="nightly", timezone="Europe/Berlin", overlap="skip", vars=Order(sku="a", amount=1))

workflow = Workflow(
    "OrderWorkflow",
    vars=Order,
    version=2,
    retry=Retry(limit=10, min="10s", max="1h"),
    keep=Keep("90 days", failed="1 year"),
    schedules=[nightly],
)


@migrate(from_version=1)
def rename_quantity(variables: dict[str, Any]) -> dict[str, Any]:
    variables["amount"] = variables.pop("quantity", 1)
    return variables


async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url="https://shop.example") as client:
        yield client


def boxes(order: Order) -> Iterator[ChildRequest]:
    yield child("ShipmentWorkflow", box=0).with_ids(key=order.sku).with_routing(priority=9)
    yield from (child("ShipmentWorkflow", box=number) for number in range(1, order.amount))
    yield workflow.child(Order(sku=order.sku, amount=0))


@state(start=True, next=["review", "charge", "rejected"], retry=Retry(limit=3, never=(ValueError,)))
async def check_stock(order: Order, http: httpx.AsyncClient, ctx: Context) -> Next:
    ctx.log("checking stock")
    if order.amount == 0:
        return "rejected"
    return review if order.amount > 1000 else charge


FINANCE: Team = team("finance")


@manual(
    next={"charge": "Approve", "rejected": "Reject"},
    title="Approve {amount} of {sku}?",
    show=["sku", "amount"],
    to=[FINANCE, team("board")],
    not_by="sku",
    approvals={"charge": 2},
    form=Decision,
    deadline="3 days",
    on_deadline="rejected",
)
async def review(order: Order, decision: Decision, ctx: Context) -> Next | None:
    ctx.log(f"{ctx.username}: {decision.comment}")
    if ctx.choice == "charge" and ctx.now() > datetime(2030, 1, 1, tzinfo=UTC):
        return rejected.log("too late")
    return None


@state(
    next=["ship", "payment_failed"],
    timeout="2 minutes",
    on_error="payment_failed",
    limit=Limit(10, by="sku"),
    rate=Rate(100, per="1 minute"),
    breaker=Breaker(5, pause="1 minute"),
)
async def charge(order: Order, http: httpx.AsyncClient, ctx: Context) -> Next:
    response = await http.post("/charges", headers={"Idempotency-Key": ctx.idempotency_key})
    if response.status_code == 404:
        raise Fail("the customer does not exist")
    order.charge_id = response.json()["id"]
    async with ctx.transaction() as connection:
        await record_charge(connection, order)
    return ship.after("10 minutes") if ctx.attempt == 1 else ship.at(ctx.now())


async def record_charge(connection: Transaction, order: Order) -> None:
    await connection.execute("INSERT INTO charge (id) VALUES (:id)", {"id": order.charge_id})


@state(next=["delivered"])
def ship(order: Order, ctx: Context) -> Next:
    ctx.log("packing")
    return wait_for_boxes(order, within="14 days").log("packed")


def wait_for_boxes(order: Order, *, within: Duration) -> Outcome:
    return delivered.spawn(boxes(order)).when_children_end(within=within)


done = end("The order has arrived.")
rejected = end("Turned down by a person.")
payment_failed = error("The customer could not be charged.")


@manual(next={done: "Close"}, to=FINANCE, approvals={done: 2})
def complaint(order: Order, ctx: Context) -> None:
    if ctx.error:
        ctx.log(describe_failure(ctx.error))


def read_children(children: Children, counts: ChildCounts) -> tuple[tuple[TypedChild[Order], ...], int]:
    """Return the children that are orders, and how many are open."""
    return children.of(workflow), counts.open


def describe_failure(failure: Failure) -> str:
    return f"{failure.type} in {failure.state} after {failure.attempts} attempts: {failure.message}"


@receive(messages={"claim": Claim}, next=[done, complaint], deadline="30 days", on_deadline=done)
async def await_claim(order: Order, claim: Claim, ctx: Context) -> Next:
    if not claim.text:
        return done
    if ctx.message is not None:
        ctx.log(describe_message(ctx.message))
    return complaint


def describe_message(message: Message) -> str:
    text: str = message.body["text"]
    return f"{message.sender or 'code'} sent {message.name} {message.key} at {message.sent:%H:%M}: {text}"


@state(next=[done, complaint, await_claim, "payment_failed"], on_error=payment_failed)
async def delivered(order: Order, ctx: Context) -> Next:
    if order.charge_id is None:
        return "payment_failed"
    if ctx.parent is not None:
        return done.wake_parent()
    return await_claim if all(has_arrived(child) for child in ctx.children) else complaint


def has_arrived(instance: Instance) -> bool:
    return instance.succeeded or (instance.status is Status.FINISHED and instance.vars.get("box") == 0)


def is_final(state: State[..., object]) -> bool:
    return state.kind in (StateKind.END, StateKind.ERROR)
