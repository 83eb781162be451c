"""A parcel, the child of a voyage: a timer, a handler in a thread, a message or its deadline, an error state."""

from pydantic import BaseModel

from flowlet import Context, Limit, Next, Retry, Schedule, Workflow, end, error, receive, state
from flowlet.clock import StoreClock
from tests.chaos.recorder import record_run


class Parcel(BaseModel):
    number: int
    weight: int = 0
    path: list[str] = []
    checksum: int = 0
    signatures: list[str] = []


class Signature(BaseModel):
    by: str = ""


workflow = Workflow(
    "Parcel",
    vars=Parcel,
    retry=Retry(limit=1000, min="20ms", max="500ms"),
    schedules=[Schedule(every="1 second", name="parcel-clock", catch_up="all", vars={"number": 7})],
)


@state(start=True, next=["carry"])
async def pack(parcel: Parcel, ctx: Context) -> Next:
    with record_run(ctx, parcel):
        parcel.weight = 10 * parcel.number + 1
    return carry.after("100ms")


@state(next=["deliver", "sign"])
def carry(parcel: Parcel, ctx: Context) -> Next:
    """Run in a thread."""
    with record_run(ctx, parcel):
        pass
    return sign if parcel.number % 3 == 0 else deliver


@receive(messages={"signature": Signature}, next=["sign", "deliver", "leave"], deadline="1500ms", on_deadline="leave")
async def sign(parcel: Parcel, message: Signature, ctx: Context) -> Next:
    """Collect two signatures, or leave the parcel without them."""
    with record_run(ctx, parcel):
        assert ctx.message is not None
        parcel.signatures.append(ctx.message.key)
    return deliver if len(parcel.signatures) % 2 == 0 else sign


@state(next=["deliver"])
async def leave(parcel: Parcel, ctx: Context) -> None:
    with record_run(ctx, parcel):
        pass


@state(next=["handed", "lost"], limit=Limit(4))
async def deliver(parcel: Parcel, ctx: Context) -> Next:
    with record_run(ctx, parcel):
        await StoreClock().sleep(0.1)
    return lost if parcel.number % 11 == 5 else handed


handed = end("It has arrived.")
lost = error("It was lost on the way.")
