"""A counter, version 2: its variable has another name."""

from typing import Any

from pydantic import BaseModel

from flowlet import Next, Retry, Workflow, end, migrate, state
from tests.engine.versions.closing import Closing


class Counter(BaseModel):
    total: int
    steps: list[str]


workflow = Workflow("Counter", version=2, vars=Counter, retry=Retry(limit=0))


@migrate(from_version=1)
def rename_count(variables: dict[str, Any]) -> dict[str, Any]:
    return {"total": variables.pop("count"), "steps": [*variables.get("steps", []), "1 to 2"]}


@state(start=True, next=["rest", "done"])
async def add(counter: Counter, closing: Closing) -> Next:
    counter.total += 1
    return done if closing.is_closed else rest


@state(next=["add"])
async def rest() -> Next:
    return add.after("20ms")


done = end()
