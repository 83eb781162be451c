"""Send three children out and wait for them; they need an answer, or none, or go wrong."""

from typing import Any

from flowlet import Context, Next, Workflow, child, end, state

workflow = Workflow("Errands")


@state(start=True, next=["gather"])
async def spread(ctx: Context) -> Next:
    """Send them out."""
    ways: tuple[Any, ...] = ("sign", "buy", "fail")
    return gather.spawn(child("Purchases", way=way) for way in ways).when_children_end(within="1 hour")


@state(next=["home"])
async def gather() -> None:
    """Look who has come back."""


home = end("All are back.")
