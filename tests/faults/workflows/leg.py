"""Walk, rest, go on: the child of a journey."""

from pydantic import BaseModel

from flowlet import Next, Workflow, end, state


class Leg(BaseModel):
    length: int
    walked: int | None = None


workflow = Workflow("Leg", vars=Leg)


@state(start=True, next=["rest"])
async def walk(leg: Leg) -> Next:
    leg.walked = leg.length
    return rest.after("20ms")


@state(next=["there"])
async def rest(leg: Leg) -> None:
    assert leg.walked == leg.length


there = end()
