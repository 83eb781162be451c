"""A letter, the child of an envelope."""

from flowlet import Workflow, end, state

workflow = Workflow("Letter")


@state(start=True, next=["read"])
async def write() -> None: ...


read = end()
