"""Plan, book, pack, travel with two legs, arrive: with everything that a crash could tear."""

import os

from pydantic import BaseModel

from flowlet import Context, Next, Retry, Workflow, child, end, state


class Journey(BaseModel):
    number: int
    planned: int | None = None
    booked: int | None = None
    packed: int | None = None
    travelled: int | None = None


workflow = Workflow("Journey", vars=Journey)


@state(start=True, next=["book"])
async def plan(journey: Journey, ctx: Context) -> None:
    print_run(ctx)
    journey.planned = journey.number


@state(next=["pack"])
async def book(journey: Journey, ctx: Context) -> None:
    """Write a row of the test's own together with the transition."""
    print_run(ctx)
    async with ctx.transaction() as connection:
        row = {"external_id": ctx.workflow.external_id}
        await connection.execute("INSERT INTO booking (external_id) VALUES (:external_id)", row)
    journey.booked = journey.number


@state(next=["travel"], retry=Retry(limit=20, min="20ms", max="100ms"))
async def pack(journey: Journey, ctx: Context) -> Next:
    """Fail once, then wait a little."""
    print_run(ctx)
    if ctx.attempt == 1:
        raise LookupError("the suitcase is not in the attic")
    journey.packed = journey.number
    return travel.after("50ms")


@state(next=["arrive"])
async def travel(journey: Journey, ctx: Context) -> Next:
    print_run(ctx)
    return arrive.spawn(child("Leg", length=length) for length in (1, journey.number)).when_children_end()


@state(next=["home"])
async def arrive(journey: Journey, ctx: Context) -> None:
    print_run(ctx)
    journey.travelled = sum(leg.vars["walked"] for leg in ctx.children)


home = end()


def print_run(ctx: Context) -> None:
    """Print a line that outlives this process."""
    os.write(1, f"ran {ctx.workflow.external_id} {ctx.workflow.state} {ctx.attempt}\n".encode())
