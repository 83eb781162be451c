"""Leave, buy, return: three states, each of which says that it runs."""

import os

from pydantic import BaseModel

from flowlet import Context, Workflow, end, state


class Errand(BaseModel):
    left: bool = False
    bought: bool = False
    returned: bool = False


workflow = Workflow("Errand", vars=Errand)


@state(start=True, next=["buy"])
async def leave(errand: Errand, ctx: Context) -> None:
    print_run(ctx)
    errand.left = True


@state(next=["come_back"])
def buy(errand: Errand, ctx: Context) -> None:
    print_run(ctx)
    errand.bought = True


@state(next=["done"])
async def come_back(errand: Errand, ctx: Context) -> None:
    print_run(ctx)
    errand.returned = True


done = end()


def print_run(ctx: Context) -> None:
    """Print a line that outlives this process."""
    os.write(1, f"ran {ctx.workflow.external_id} {ctx.workflow.state} {ctx.attempt}\n".encode())
