"""A slip, of which a voyage may write hundreds at once: more children than one commit creates."""

from pydantic import BaseModel

from flowlet import Context, Retry, Workflow, end, state
from tests.chaos.recorder import record_run


class Slip(BaseModel):
    number: int
    weight: int = 0
    path: list[str] = []
    checksum: int = 0


workflow = Workflow("Slip", vars=Slip, retry=Retry(limit=1000, min="20ms", max="500ms"))


@state(start=True, next=["filed"])
async def write(slip: Slip, ctx: Context) -> None:
    with record_run(ctx, slip):
        slip.weight = slip.number + 1


filed = end("It is in its folder.")
