"""Money that goes back to a customer, in a type with a long name."""

from pydantic import BaseModel

from flowlet import Next, Retry, Workflow, end, error, state


class Refund(BaseModel):
    """What is paid back."""

    customer: str = "c-1"
    amount: int = 20


workflow = Workflow("RefundPaymentToCustomerAccount", vars=Refund, retry=Retry(limit=8, min="1m", max="1h"))


@state(start=True, next=["pay", "refused"])
async def verify(refund: Refund) -> Next:
    """See whether it is owed."""
    return pay if refund.amount else refused


@state(next=["paid"])
async def pay(refund: Refund) -> Next:
    """Pay it back."""
    return paid


paid = end("Paid back.")
refused = error("It was not owed.")
