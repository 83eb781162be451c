"""Collect payments, each once, until all have come."""

from pydantic import BaseModel

from flowlet import Context, Next, Workflow, end, receive, state


class Account(BaseModel):
    target: int
    keys: list[str] = []


class Payment(BaseModel):
    amount: int = 1


workflow = Workflow("Collection", vars=Account)


@state(start=True, next=["collect"])
async def begin(account: Account) -> Next:
    return collect


@receive(messages={"payment": Payment}, next=["collect", "book", "done"])
async def collect(account: Account, message: Payment, ctx: Context) -> Next:
    assert ctx.message is not None
    account.keys.append(ctx.message.key)
    if len(account.keys) == account.target:
        return done
    return book if len(account.keys) % 3 == 0 else collect


@state(next=["collect"])
async def book(account: Account) -> Next:
    return collect


done = end("All payments have come.")
