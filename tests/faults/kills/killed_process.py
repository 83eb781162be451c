"""A sender or an executor as a process of its own, which kills itself at a statement.

killed_process.py send FIRST STEP SENDS INSTANCES PROGRESS_FILE KIND before|after
killed_process.py run KIND before|after
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

import uvloop

from flowlet import log_setup
from flowlet.definition.registry import Registry
from flowlet.engine.executor import Executor
from flowlet.operations.service import Operations
from flowlet.settings import Settings
from flowlet.store.opening import Store, open_store
from tests.faults.kills.kill_points import KillPoint

WORKFLOWS = [Path(__file__).parents[1] / "workflows" / f"{name}.py" for name in ("collection", "fan", "leaf")]
SENDS_AT_ONCE = 4


async def main(role: str, arguments: list[str]) -> None:
    settings = Settings()
    log_setup.configure_logging(level=settings.log_level, output=sys.stdout)
    registry = Registry()
    for workflow in WORKFLOWS:
        registry.load(str(workflow))
    KillPoint(int(arguments[-2]), is_after=arguments[-1] == "after").install()
    async with open_store(settings.database_url, migrate=False) as store:
        if role == "send":
            await send_payments(store, registry, arguments)
        else:
            await Executor(store, registry, settings.get_executor_settings()).run()
    print("the end")  # noqa: T201


async def send_payments(store: Store, registry: Registry, arguments: list[str]) -> None:
    """Send this process's part of the payments, beginning where the former process of this part has come."""
    first, step, sends, instances = map(int, arguments[:4])
    progress, operations = Path(arguments[4]), Operations(store, registry)
    done = read_progress(progress)
    numbers = list(range(first, sends, step))[done:]
    for begin in range(0, len(numbers), SENDS_AT_ONCE):
        part = numbers[begin : begin + SENDS_AT_ONCE]
        await asyncio.gather(
            *(operations.send("payment", to=f"account-{n % instances}", key=f"payment-{n}") for n in part)
        )
        write_progress(progress, done + begin + len(part))


def read_progress(file: Path) -> int:
    """Return how many payments of a part have been sent: at least so many."""
    with suppress(FileNotFoundError, ValueError):
        return int(file.read_text())
    return 0


def write_progress(file: Path, done: int) -> None:
    file.write_text(str(done))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2:]))
