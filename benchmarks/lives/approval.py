"""An expense that a person has to approve."""

from pydantic import BaseModel, Field

from flowlet import Next, Workflow, end, manual, state


class Expense(BaseModel):
    """The expense."""

    purpose: str = "travel"
    amount: int = 120
    comment: str = ""


class Decision(BaseModel):
    """The form of the approval."""

    comment: str = Field(default="", max_length=500)


workflow = Workflow("ExpenseApproval", vars=Expense)


@state(start=True, next=["decide"])
async def ask(expense: Expense) -> Next:
    """Request a decision."""
    return decide


@manual(next={"book": "Approve", "rejected": "Reject"}, form=Decision, deadline="30 days", on_deadline="rejected")
async def decide(expense: Expense, decision: Decision) -> None:
    """Decide whether the expense is paid back."""
    expense.comment = decision.comment


@state(next=["booked"])
async def book(expense: Expense) -> Next:
    """Book the expense."""
    return booked


booked = end("Booked.")
rejected = end("Rejected.")
