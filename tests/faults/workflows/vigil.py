"""Watch until somebody makes a file, or has made it: an activation that a test holds for as long as it likes."""

import os

from pydantic import BaseModel

from flowlet import Context, Workflow, end, state
from flowlet.clock import StoreClock


class Vigil(BaseModel):
    until: str
    seen: bool = False


workflow = Workflow("Vigil", vars=Vigil)


@state(start=True, next=["rise"])
async def watch(vigil: Vigil, ctx: Context) -> None:
    os.write(1, f"ran {ctx.workflow.external_id} watch {ctx.attempt}\n".encode())
    while not os.access(vigil.until, os.F_OK):
        await StoreClock().sleep(0.02)
    vigil.seen = True


@state(next=["done"])
async def rise(vigil: Vigil, ctx: Context) -> None:
    os.write(1, f"ran {ctx.workflow.external_id} rise {ctx.attempt}\n".encode())
    assert vigil.seen


done = end()
