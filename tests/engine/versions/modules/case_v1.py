"""A case, version 1: it is opened and closed."""

from flowlet import Retry, Workflow, end, state

workflow = Workflow("Case", version=1, retry=Retry(limit=2, min="200ms", max="200ms", backoff="linear"))


@state(start=True, next=["closed"])
async def opened() -> None: ...


closed = end()
