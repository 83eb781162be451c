"""A counter, version 1: it counts, and rests, until it is closed."""

from pydantic import BaseModel

from flowlet import Next, Retry, Workflow, end, state
from tests.engine.versions.closing import Closing


class Counter(BaseModel):
    count: int = 0


workflow = Workflow("Counter", version=1, vars=Counter, retry=Retry(limit=0))


@state(start=True, next=["rest", "done"])
async def add(counter: Counter, closing: Closing) -> Next:
    counter.count += 1
    return done if closing.is_closed else rest


@state(next=["add"])
async def rest() -> Next:
    return add.after("20ms")


done = end()
