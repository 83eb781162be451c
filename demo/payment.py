"""Wait for a payment from outside, such as a payment provider's webhook, and remind the customer once a week."""

from pydantic import BaseModel, Field

from flowlet import Context, Limit, Next, Workflow, end, receive, state


class Invoice(BaseModel):
    amount: int = 1200
    paid: int = 0
    reminders: int = 0


class Payment(BaseModel):
    amount: int = Field(ge=1)


workflow = Workflow("PaymentWorkflow", vars=Invoice)


@state(start=True, next=["await_payment"])
async def send_invoice(invoice: Invoice, ctx: Context) -> Next:
    """Send the invoice."""
    ctx.log(f"invoiced {invoice.amount}")
    return await_payment


@receive(
    messages={"payment": Payment}, next=["await_payment", "paid", "remind"], deadline="7 days", on_deadline="remind"
)
async def await_payment(invoice: Invoice, message: Payment, ctx: Context) -> Next:
    """Wait until the invoice is paid; a part is counted, and the wait goes on."""
    invoice.paid += message.amount
    return paid if invoice.paid >= invoice.amount else await_payment


@state(next=["await_payment", "unpaid"], limit=Limit(20))
async def remind(invoice: Invoice) -> Next:
    """Remind the customer, three times; the mail server takes 20 mails at once."""
    invoice.reminders += 1
    return await_payment if invoice.reminders <= 3 else unpaid


paid = end("The invoice is paid.")
unpaid = end("The invoice was not paid after three reminders.")
