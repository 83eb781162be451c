"""Wait for some seconds: the child of DemoParentWorkflow."""

from pydantic import BaseModel, Field

from flowlet import Context, Next, Workflow, end, state


class Wait(BaseModel):
    seconds: int = Field(default=1, ge=0, le=3600)


workflow = Workflow("DemoChildWorkflow", vars=Wait)


@state(start=True, next=["arrive"])
async def wait(variables: Wait) -> Next:
    """Come back after the seconds have passed."""
    return arrive.after(f"{variables.seconds}s")


@state(next=["finish"])
async def arrive(ctx: Context) -> Next:
    """Tell who was waiting."""
    return finish.log(f"for {ctx.parent.external_id}" if ctx.parent else "for nobody")


finish = end("The seconds have passed.")
