"""Workflows of which one kills its process, and the others are innocent."""

import os

from pydantic import BaseModel

from flowlet import Workflow, end, state
from flowlet.clock import StoreClock


class Suspect(BaseModel):
    is_guilty: bool = False


workflow = Workflow("Suspect", vars=Suspect)


@state(start=True, next=["done"])
async def check(suspect: Suspect) -> None:
    await StoreClock().sleep(0.05)  # the others have begun by then
    if suspect.is_guilty:
        os._exit(9)


done = end()
