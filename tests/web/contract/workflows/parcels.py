"""Bring a parcel to an address that has to be given."""

from pydantic import BaseModel, ConfigDict, Field

from flowlet import Workflow, end, state


class Parcel(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    address: str = Field(min_length=1, max_length=200, examples=["12 Quay Street"])
    grams: int = Field(default=500, ge=0, le=100_000)
    is_fragile: bool = False


workflow = Workflow("Parcels", vars=Parcel, group="couriers")


@state(start=True, next=["delivered"])
async def carry(parcel: Parcel) -> None:
    """Carry it there."""


delivered = end("It is there.")
