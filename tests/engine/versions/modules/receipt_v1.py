"""A receipt, version 1: it waits for a payment."""

from flowlet import Workflow, end, receive

workflow = Workflow("Receipt", version=1)


@receive(messages=["payment"], start=True, next=["paid"])
async def await_payment() -> None: ...


paid = end()
