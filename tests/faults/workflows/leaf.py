"""One of very many children: it ends at once."""

from pydantic import BaseModel

from flowlet import Workflow, end, state


class Leaf(BaseModel):
    number: int


workflow = Workflow("Leaf", vars=Leaf)


@state(start=True, next=["done"])
async def fall(leaf: Leaf) -> None: ...


done = end("It has fallen.")
