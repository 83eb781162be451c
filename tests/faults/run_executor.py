"""An executor as a process of its own, for the named modules; settings come from the environment."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import uvloop

from flowlet import log_setup
from flowlet.definition.registry import Registry
from flowlet.engine.executor import Executor
from flowlet.settings import Settings
from flowlet.store.opening import open_store

WORKFLOWS = Path(__file__).parent / "workflows"


async def run_executor(module_names: list[str]) -> None:
    settings = Settings()
    log_setup.configure_logging(level=settings.log_level, output=sys.stdout)
    registry = Registry()
    registry.load_all([str(WORKFLOWS / f"{name}.py") for name in module_names])
    async with open_store(settings.database_url) as store:
        executor = Executor(store, registry, settings.get_executor_settings())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, executor.stop)
        await executor.run()
    print("the end")  # noqa: T201


if __name__ == "__main__":
    uvloop.run(run_executor(sys.argv[1:]))
