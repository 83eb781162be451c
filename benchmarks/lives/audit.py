"""A yearly audit: about fifty of a million workflows are audits."""

from flowlet import Context, Next, Workflow, end, state

workflow = Workflow("YearlyAudit")


@state(start=True, next=["review"])
async def collect(ctx: Context) -> Next:
    """Collect the books."""
    return review.after("5 days")


@state(next=["filed"])
async def review(ctx: Context) -> Next:
    """Review the books."""
    return filed


filed = end("Filed.")
