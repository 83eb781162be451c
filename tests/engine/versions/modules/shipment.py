"""A shipment, which writes a row of its own and creates a parcel in one transition."""

from pydantic import BaseModel

from flowlet import Context, Next, Workflow, child, end, state


class Shipment(BaseModel):
    number: int


workflow = Workflow("Shipment", vars=Shipment)


@state(start=True, next=["arrive"])
async def pack(shipment: Shipment, ctx: Context) -> Next:
    async with ctx.transaction() as connection:
        await connection.execute("INSERT INTO parcel_booking (number) VALUES (:number)", {"number": shipment.number})
    return arrive.spawn(child("Parcel", number=shipment.number)).when_children_end()


@state(next=["done"])
async def arrive() -> None: ...


done = end()
