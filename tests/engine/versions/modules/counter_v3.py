"""A counter, version 3: its variable has become several."""

from typing import Any

from pydantic import BaseModel

from flowlet import Next, Retry, Workflow, end, migrate, state
from tests.engine.versions.closing import Closing


class Counter(BaseModel):
    totals: dict[str, int]
    steps: list[str]


workflow = Workflow("Counter", version=3, vars=Counter, retry=Retry(limit=0))


@migrate(from_version=1)
def rename_count(variables: dict[str, Any]) -> dict[str, Any]:
    return {"total": variables.pop("count"), "steps": [*variables.get("steps", []), "1 to 2"]}


@migrate(from_version=2)
def name_total(variables: dict[str, Any]) -> dict[str, Any]:
    return {"totals": {"all": variables["total"]}, "steps": [*variables["steps"], "2 to 3"]}


@state(start=True, next=["rest", "done"])
async def add(counter: Counter, closing: Closing) -> Next:
    counter.totals["all"] += 1
    return done if closing.is_closed else rest


@state(next=["add"])
async def rest() -> Next:
    return add.after("20ms")


done = end()
