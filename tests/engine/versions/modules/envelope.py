"""An envelope, which waits for the test before it creates a letter."""

from flowlet import Next, Workflow, child, end, state
from flowlet.clock import StoreClock
from tests.engine.versions.closing import Closing

workflow = Workflow("Envelope")


@state(start=True, next=["sent"])
async def seal(closing: Closing) -> Next:
    while not closing.is_closed:
        await StoreClock().sleep(0.01)
    return sent.spawn(child("Letter")).when_children_end()


@state(next=["done"])
async def sent() -> None: ...


done = end()
