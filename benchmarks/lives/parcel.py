"""A parcel on its way: the child of an order."""

from pydantic import BaseModel

from flowlet import Next, Workflow, end, error, state


class Parcel(BaseModel):
    """The variables of a parcel."""

    customer: str = "c-1"
    weight: int = 900


workflow = Workflow("ParcelDelivery", vars=Parcel)


@state(start=True, next=["travel"])
async def hand_over(parcel: Parcel) -> Next:
    """Hand it to the carrier."""
    return travel.after("1 day")


@state(next=["delivered", "lost"])
async def travel(parcel: Parcel) -> Next:
    """Ask the carrier where it is."""
    return delivered if parcel.weight else lost


delivered = end("The customer has it.")
lost = error("The carrier has lost it.")
