"""Review a purchase, and approve it unless it costs too much."""

from pydantic import BaseModel

from flowlet import Context, Next, Workflow, end, error, state


class Reviewer(BaseModel):
    team: str = "purchasing"
    limit: int = 1000


class Purchase(BaseModel):
    item: str = "a typewriter"
    price: int = 400
    reviewer: Reviewer = Reviewer()
    approved_by: str | None = None


workflow = Workflow("DemoWorkflow", vars=Purchase)


@state(start=True, next=["review"])
def init(purchase: Purchase, ctx: Context) -> Next:
    """Send the purchase to the reviewer."""
    ctx.log(f"{purchase.item} for {purchase.price} goes to {purchase.reviewer.team}")
    return review.after("2 seconds")


@state(next=["approve", "approve_error"])
def review(purchase: Purchase) -> Next:
    """Compare the price with the reviewer's limit."""
    if purchase.price > purchase.reviewer.limit:
        return approve_error.log(f"{purchase.price} is above {purchase.reviewer.limit}")
    return approve.log(f"{purchase.price} is within {purchase.reviewer.limit}")


@state(next=["finish"])
async def approve(purchase: Purchase) -> Next:
    """Approve the purchase."""
    purchase.approved_by = purchase.reviewer.team
    return finish


approve_error = error("It costs more than the reviewer may approve.")
finish = end("The purchase is approved.")
