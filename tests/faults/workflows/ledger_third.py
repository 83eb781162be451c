"""A ledger, version 3: two migrations, and a handler that hangs until its executor has been killed."""

import os
from typing import Any

from pydantic import BaseModel

from flowlet import Context, Retry, Workflow, end, migrate, state
from flowlet.clock import StoreClock


class Ledger(BaseModel):
    totals: dict[str, int]
    steps: list[str]
    note: str = ""


workflow = Workflow("Ledger", version=3, vars=Ledger, retry=Retry(limit=0))


@migrate(from_version=1)
def rename_count(variables: dict[str, Any]) -> dict[str, Any]:
    os.write(1, b"ran 1 to 2\n")
    return {"total": variables.pop("count"), **variables, "steps": ["1 to 2"]}


@migrate(from_version=2)
def name_total(variables: dict[str, Any]) -> dict[str, Any]:
    os.write(1, b"ran 2 to 3\n")
    return {"totals": {"all": variables.pop("total")}, **variables, "steps": [*variables["steps"], "2 to 3"]}


@state(start=True, next=["closed"])
async def book(ledger: Ledger, ctx: Context) -> None:
    if not ctx.workflow.crashes:
        os.write(1, b"ran book, and hangs\n")
        await StoreClock().sleep(600)
    ledger.totals["all"] += 1


@state(next=["booked"])
async def closed(ledger: Ledger) -> None:
    ledger.note = f"{len(ledger.steps)} steps"


booked = end()
