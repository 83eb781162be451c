"""Wait for ever in a thread, where nothing can be cancelled."""

import os
import threading

from flowlet import Workflow, end, state

workflow = Workflow("Stuck")


@state(start=True, next=["done"])
def check() -> None:
    os.write(1, b"ran check\n")
    threading.Event().wait()


done = end()
