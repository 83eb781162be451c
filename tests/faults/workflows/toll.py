"""Pass the barrier, which lets at most four through at once; half of the travellers pay one each by their company."""

from pydantic import BaseModel

from flowlet import Limit, Workflow, end, state
from flowlet.clock import StoreClock


class Toll(BaseModel):
    company: str


workflow = Workflow("Toll", vars=Toll)


@state(start=True, next=["pay"], limit=Limit(4))
async def wait_in_line() -> None:
    await StoreClock().sleep(0.02)


@state(next=["passed"], limit=Limit(1, by="company"))
async def pay() -> None:
    await StoreClock().sleep(0.02)


passed = end()
