"""A parcel, the child of a shipment."""

from pydantic import BaseModel

from flowlet import Workflow, end, state


class Parcel(BaseModel):
    number: int


workflow = Workflow("Parcel", vars=Parcel)


@state(start=True, next=["done"])
async def carry() -> None: ...


done = end()
