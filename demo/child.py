"""Wait for some seconds: the child of DemoParentWorkflow."""

from pydantic import BaseModel, Field

from flowlet import Context, Next, Workflow, end, state


class Wait(BaseModel):
    seconds: int = Field(default=1, ge=0, le=3600)


workflow = Workflow("DemoChildWorkflow", vars=Wait)


@state(start=True, next=["arrive"])
async def wait(variables: Wait) -> Next:
    """Wait for the given seconds."""
    return arrive.after(f"{variables.seconds}s")


@state(next=["finish"])
async def arrive(ctx: Context) -> Next:
    """Log the parent that waits."""
    return finish.log(f"for {ctx.parent.external_id}" if ctx.parent else "without a parent")


finish = end("The seconds have passed.")
