"""A parcel: two days on the road."""

from flowlet import Next, Workflow, end, state

workflow = Workflow("ParcelWorkflow", group="parcels")


@state(start=True, next=["arrive"])
async def leave() -> Next:
    return arrive.after("1 day")


@state(next=["done"])
async def arrive() -> Next:
    return done.log("after a day on the road")


done = end()
