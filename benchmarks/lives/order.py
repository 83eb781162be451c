"""An order, from the basket to the door: the most frequent workflow of the filled database."""

from pydantic import BaseModel

from flowlet import Next, Workflow, child, end, error, state


class Order(BaseModel):
    """The variables of an order."""

    sku: str = "A-10291"
    amount: int = 3
    customer: str = "c-1"


workflow = Workflow("OrderFulfilment", vars=Order)


@state(start=True, next=["charge"])
async def check(order: Order) -> Next:
    """Check that everything is in stock."""
    return charge


@state(next=["pack", "refused"], on_error="refused")
async def charge(order: Order) -> Next:
    """Charge the customer."""
    return pack


@state(next=["deliver"])
async def pack(order: Order) -> Next:
    """Pack it, and send a parcel."""
    return deliver.spawn([child("ParcelDelivery", customer=order.customer)]).when_children_end()


@state(next=["done"])
async def deliver(order: Order) -> Next:
    """Check whether the parcel has arrived."""
    return done


done = end("Delivered.")
refused = error("The payment was refused for good.")
