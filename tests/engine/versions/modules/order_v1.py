"""Orders, version 1: round and round until the shop closes, with lists that are reordered, shortened and rebuilt."""

from pydantic import BaseModel

from flowlet import Next, Retry, Workflow, end, state
from tests.engine.versions.closing import Closing


class Address(BaseModel):
    city: str


class Line(BaseModel):
    sku: int
    amount: int = 1


class Order(BaseModel):
    number: int
    address: Address
    lines: list[Line]
    rounds: int = 0


workflow = Workflow("Orders", version=1, vars=Order, retry=Retry(limit=0))


@state(start=True, next=["pack"])
async def check(order: Order) -> None:
    order.lines.reverse()


@state(next=["ship"])
async def pack(order: Order) -> Next:
    if order.rounds % 4 == 1 and len(order.lines) > 2:
        del order.lines[1]
    return ship.after("5ms")


@state(next=["check", "done"])
async def ship(order: Order, closing: Closing) -> Next:
    order.rounds += 1
    order.lines = [Line(sku=line.sku, amount=line.amount + 1) for line in order.lines]
    order.address = Address(city=f"city {order.rounds}")
    return done if closing.is_closed else check


done = end()
