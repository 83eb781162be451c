"""A receipt, version 2: it waits for a payment or a withdrawal, and a paid one for its archive."""

from flowlet import Context, Next, Workflow, end, receive

workflow = Workflow("Receipt", version=2)


@receive(messages=["payment", "withdrawal"], start=True, next=["archive", "withdrawn"])
async def await_payment(ctx: Context) -> Next:
    return archive if ctx.message is not None and ctx.message.name == "payment" else withdrawn


@receive(messages=["archived"], next=["paid"])
async def archive() -> None: ...


paid = end()
withdrawn = end()
