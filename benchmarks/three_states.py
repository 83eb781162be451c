"""Three states with a handler each, and typed variables."""

from pydantic import BaseModel

from flowlet import Next, Workflow, end, state


class Order(BaseModel):
    """The variables of the benchmark's workflow."""

    sku: str = "A-10291"
    amount: int = 3
    charge_id: str | None = None
    parcel: str | None = None


workflow = Workflow("ThreeStates", vars=Order)


@state(start=True, next=["charge"])
async def check(order: Order) -> Next:
    """Check the order."""
    order.amount += 1
    return charge


@state(next=["ship"])
async def charge(order: Order) -> Next:
    """Charge it."""
    order.charge_id = f"ch-{order.sku}"
    return ship


@state(next=["done"])
async def ship(order: Order) -> Next:
    """Ship it."""
    order.parcel = f"p-{order.sku}"
    return done.log("handed over")


done = end("Delivered.")
