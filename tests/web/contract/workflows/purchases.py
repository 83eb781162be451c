"""Buy something, after somebody has said so."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from flowlet import Context, Next, Retry, Workflow, end, error, manual, state


class Strict(BaseModel):
    """A model that takes what its schema says, and nothing else."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Item(Strict):
    sku: str = Field(default="A-1001", max_length=40)
    amount: int = Field(default=1, ge=1, le=1000)


class Purchase(Strict):
    way: Literal["sign", "buy", "wait", "fail"] = "sign"
    items: list[Item] = Field(default=[Item()], max_length=20)


class Decision(Strict):
    comment: str = Field(default="", max_length=200)


workflow = Workflow("Purchases", vars=Purchase, retry=Retry(limit=3, min="1h", max="1h"))


@state(start=True, next=["sign", "buy"])
async def check(purchase: Purchase) -> Next:
    """Look whether somebody has to sign."""
    if purchase.way == "sign":
        return sign
    return buy.after("1 hour") if purchase.way == "wait" else buy


@manual(next={"buy": "Approve", "refused": "Refuse"}, form=Decision, deadline="3 days", on_deadline="refused")
async def sign(decision: Decision, ctx: Context) -> None:
    """Wait for a signature."""
    ctx.log(f"{ctx.username}: {decision.comment}")


@state(next=["bought", "unpaid"])
async def buy(purchase: Purchase) -> Next:
    """Pay."""
    if purchase.way == "fail":
        raise RuntimeError("the bank is away")
    return bought


bought = end("It is ours.")
refused = end("Nobody signed.")
unpaid = error("There is no money.")
