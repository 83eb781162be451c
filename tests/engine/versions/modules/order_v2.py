"""Orders, version 2: another state, and another variable at the top, in a model, and in the models of a list."""

from pydantic import BaseModel

from flowlet import Next, Retry, Workflow, end, state
from tests.engine.versions.closing import Closing


class Address(BaseModel):
    city: str
    zip: int | None = None


class Line(BaseModel):
    sku: int
    amount: int = 1
    weight: int | None = None


class Order(BaseModel):
    number: int
    address: Address
    lines: list[Line]
    rounds: int = 0
    labels: list[str] = []


workflow = Workflow("Orders", version=2, vars=Order, retry=Retry(limit=0))


@state(start=True, next=["pack"])
async def check(order: Order) -> None:
    order.lines.reverse()


@state(next=["label"])
async def pack(order: Order) -> Next:
    if order.rounds % 4 == 1 and len(order.lines) > 2:
        del order.lines[1]
    return label.after("5ms")


@state(next=["ship"])
async def label(order: Order) -> Next:
    """Write what only this version knows, the first time, and find it as it was ever since."""
    if not order.labels:
        order.address.zip = 1000 + order.number
        for line in order.lines:
            line.weight = 10 * line.sku
    assert order.address.zip == 1000 + order.number
    assert [line.weight for line in order.lines] == [10 * line.sku for line in order.lines]
    order.labels.append(f"round {order.rounds}")
    return ship.after("5ms")


@state(next=["check", "done"])
async def ship(order: Order, closing: Closing) -> Next:
    order.rounds += 1
    order.lines = [line.model_copy(update={"amount": line.amount + 1}) for line in order.lines]
    order.address = order.address.model_copy(update={"city": f"city {order.rounds}"})
    return done if closing.is_closed else check


done = end()
