"""Create two children that run side by side, and wait until both have ended."""

from flowlet import Context, Next, Workflow, child, end, error, state

workflow = Workflow("DemoParentWorkflow")


@state(start=True, next=["spawn"])
async def init(ctx: Context) -> Next:
    """Log the plan."""
    return spawn.log("two children will run side by side")


@state(next=["check"])
async def spawn(ctx: Context) -> Next:
    """Create both children in one commit, and wait for them."""
    children = [child("DemoChildWorkflow", seconds=seconds) for seconds in (1, 3)]
    return check.spawn(children).when_children_end(within="1 minute")


@state(next=["finish", "children_failed"])
async def check(ctx: Context) -> Next:
    """Check how the children ended."""
    for one in ctx.children:
        ctx.log(f"{one.external_id} is {one.status}")
    return finish if all(one.succeeded for one in ctx.children) else children_failed


finish = end("Both children have arrived.")
children_failed = error("A child did not arrive in time.")
