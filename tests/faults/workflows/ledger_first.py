"""A ledger, version 1."""

from typing import Any

from flowlet import Context, Workflow, end, state

workflow = Workflow("Ledger", version=1)


@state(start=True, next=["booked"])
async def book(ctx: Context) -> None:
    given: dict[str, Any] = ctx.vars
    given["count"] += 1


booked = end()
