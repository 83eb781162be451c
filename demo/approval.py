"""Request an approval before a trip is booked; too small a budget shows how to fix a failure and retry."""

from pydantic import BaseModel, Field

from flowlet import Context, Next, Retry, Workflow, end, manual, state


class Trip(BaseModel):
    destination: str = "Lisbon"
    price: int = 900
    budget: int | None = None


class Decision(BaseModel):
    budget: int = Field(default=1000, ge=0)
    comment: str = Field(default="", max_length=500)


workflow = Workflow("ApprovalWorkflow", vars=Trip)


@state(start=True, next=["decide"])
async def ask(trip: Trip, ctx: Context) -> Next:
    """Request a decision about the trip."""
    return decide.log(f"{trip.destination} for {trip.price}")


@manual(
    next={"book": "Approve", "rejected": "Reject"},
    title="Book the trip to {destination} for {price}?",
    form=Decision,
    deadline="3 days",
    on_deadline="rejected",
)
async def decide(trip: Trip, decision: Decision, ctx: Context) -> None:
    """Decide whether the trip is booked, and for how much."""
    trip.budget = decision.budget
    ctx.log(f"{ctx.username} chose {ctx.choice}: {decision.comment or 'no comment'}")


@state(next=["booked"], retry=Retry(limit=3, min="1h", max="1h", backoff="linear"))
async def book(trip: Trip) -> Next:
    """Book the trip. It fails if the trip costs more than the budget: raise the budget, and retry."""
    if trip.price > (trip.budget or 0):
        raise ValueError(f"{trip.price} is above the budget of {trip.budget}")
    return booked


booked = end("The trip is booked.")
rejected = end("Rejected, or not decided in time.")
