"""Grow beyond what the database accepts, by variables or by a statement: the attempt fails, and is made again later."""

from flowlet import Context, Retry, Workflow, end, state

workflow = Workflow("Hoard")


@state(start=True, next=["done"], retry=Retry(min="1m", max="1h"))
async def grow(ctx: Context) -> str:
    """Send 40 MB to the database."""
    text = "x" * 40_000_000
    if ctx.vars["by"] == "variables":
        ctx.vars["text"] = text
    else:
        async with ctx.transaction() as connection:
            await connection.execute("SELECT LENGTH(:text)", {"text": text})
    return "done"


done = end()
