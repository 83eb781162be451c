"""A refund to a customer, in a definition with a long name."""

from pydantic import BaseModel

from flowlet import Next, Retry, Workflow, end, error, state


class Refund(BaseModel):
    """The variables of a refund."""

    customer: str = "c-1"
    amount: int = 20


workflow = Workflow("RefundPaymentToCustomerAccount", vars=Refund, retry=Retry(limit=8, min="1m", max="1h"))


@state(start=True, next=["pay", "refused"])
async def verify(refund: Refund) -> Next:
    """Check whether it is due."""
    return pay if refund.amount else refused


@state(next=["paid"])
async def pay(refund: Refund) -> Next:
    """Pay it back."""
    return paid


paid = end("Paid back.")
refused = error("It was not due.")
