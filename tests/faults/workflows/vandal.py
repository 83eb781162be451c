"""A handler that cancels every task of its process, in one of three ways."""

import asyncio
import os
import threading

from pydantic import BaseModel

from flowlet import Context, Retry, Workflow, end, state


class Vandal(BaseModel):
    way: str


workflow = Workflow("Vandal", vars=Vandal, retry=Retry(limit=1, min="10ms", max="50ms"))


@state(start=True, next=["done"])
async def rage(vandal: Vandal, ctx: Context) -> None:
    """Cancel all tasks, and then wait, or return at once; or let code cancel them that is no handler's any more."""
    os.write(1, f"ran {ctx.workflow.external_id} rage {ctx.attempt}\n".encode())
    if vandal.way == "by a thread":
        loop = asyncio.get_running_loop()
        threading.Thread(target=loop.call_soon_threadsafe, args=(cancel_all_tasks,)).start()
    else:
        cancel_all_tasks()
    if vandal.way != "and returns":
        await asyncio.Event().wait()


done = end()


def cancel_all_tasks() -> None:
    for task in asyncio.all_tasks():
        task.cancel()
