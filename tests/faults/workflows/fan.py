"""Spawn very many children in one commit, and wait until all have ended."""

from pydantic import BaseModel

from flowlet import Next, Workflow, child, end, state


class Fan(BaseModel):
    size: int


workflow = Workflow("Fan", vars=Fan)


@state(start=True, next=["wait"])
async def spread(fan: Fan) -> Next:
    return wait.spawn(child("Leaf", number=number) for number in range(fan.size)).when_children_end()


@state(next=["done"])
async def wait(fan: Fan) -> None: ...


done = end("All leaves have ended.")
