"""Write down what anybody likes, until somebody has read it: variables without a model."""

from flowlet import Workflow, end, manual, state

workflow = Workflow("Notes")


@state(start=True, next=["read"])
async def write() -> None:
    """Put it down."""


@manual(next=["done"])
async def read() -> None:
    """Wait for a reader."""


done = end("Somebody has read it.")
