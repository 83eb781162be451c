"""A case, version 2: it is examined, the first time in vain, and a person is asked."""

from flowlet import Context, Next, Retry, Workflow, end, manual, state

workflow = Workflow("Case", version=2, retry=Retry(limit=2, min="200ms", max="200ms", backoff="linear"))


@state(start=True, next=["examined"])
async def opened() -> None: ...


@state(next=["asked", "closed"])
async def examined(ctx: Context) -> Next:
    if ctx.attempt == 1:
        raise LookupError("no file")
    return closed


@manual(next=["closed", "lapsed"], deadline="100ms", on_deadline="lapsed")
async def asked() -> None: ...


lapsed = end()
closed = end()
