"""A voyage: retries, a transaction of its own, an answer or a deadline, a timer, children, a loop, an error state."""

from pydantic import BaseModel

from flowlet import Context, Next, Retry, Workflow, child, end, error, manual, state
from flowlet.clock import StoreClock
from tests.chaos.recorder import record_run


class Voyage(BaseModel):
    number: int
    rounds: int = 0
    path: list[str] = []
    checksum: int = 0
    weights: dict[str, int] = {}


class Decision(BaseModel):
    comment: str = ""


workflow = Workflow("Voyage", vars=Voyage, retry=Retry(limit=1000, min="20ms", max="500ms"))


@state(start=True, next=["quote"])
async def enlist(voyage: Voyage, ctx: Context) -> None:
    with record_run(ctx, voyage):
        await StoreClock().sleep(0.1)


@state(next=["book"])
async def quote(voyage: Voyage, ctx: Context) -> None:
    """Fail once where the number says so."""
    with record_run(ctx, voyage):
        if voyage.number % 3 == 0 and ctx.attempt == 1:
            raise LookupError("no quote came")
        ctx.log(f"quoted for {voyage.number}")


@state(next=["review", "rest"])
async def book(voyage: Voyage, ctx: Context) -> Next:
    """Write a row of the test's own together with the transition."""
    with record_run(ctx, voyage):
        async with ctx.transaction() as connection:
            row = {"external_id": ctx.workflow.external_id, "visit": ctx.workflow.visit}
            await connection.execute(
                "INSERT INTO chaos_booking (external_id, visit) VALUES (:external_id, :visit)", row
            )
    return review if voyage.number % 4 == 1 else rest.after("200ms")


@manual(
    next={"rest": "Approve", "refused": "Refuse", "lapse": "Lapse"},
    form=Decision,
    deadline="1500ms",
    on_deadline="lapse",
)
async def review(voyage: Voyage, decision: Decision, ctx: Context) -> None:
    with record_run(ctx, voyage):
        ctx.log(f"{ctx.username} chose {ctx.choice}: {decision.comment}")


@state(next=["rest"])
async def lapse(voyage: Voyage, ctx: Context) -> None:
    with record_run(ctx, voyage):
        pass


@state(next=["collect"])
async def rest(voyage: Voyage, ctx: Context) -> Next:
    """Create one to three parcels, where the number says so hundreds of slips too, and wait for all of them."""
    with record_run(ctx, voyage):
        parcels = [child("Parcel", number=voyage.number + more) for more in range(1 + voyage.number % 3)]
        slips = [child("Slip", number=number) for number in range(620 if voyage.number % 250 == 2 else 0)]
    return collect.spawn([*parcels, *slips]).when_children_end()


@state(next=["quote", "settle"])
async def collect(voyage: Voyage, ctx: Context) -> Next:
    """Weigh what the children brought, and go round once more where the number says so."""
    with record_run(ctx, voyage):
        voyage.weights[str(ctx.workflow.visit)] = sum(one.vars["weight"] for one in ctx.children if one.succeeded)
        voyage.rounds += 1
    return quote if voyage.number % 5 == 0 and voyage.rounds == 1 else settle


@state(next=["done", "broken"], retry=Retry(limit=1, min="20ms", max="50ms"), on_error="broken")
async def settle(voyage: Voyage, ctx: Context) -> Next:
    """Fail each attempt where the number says so."""
    with record_run(ctx, voyage):
        if voyage.number % 7 == 3:
            raise ValueError("the account is closed")
        await StoreClock().sleep(0.2)
    return done


done = end("The voyage is over.")
refused = end("A person refused it.")
broken = error("It could not be settled.")
