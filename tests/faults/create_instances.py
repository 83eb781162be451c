"""Create so many instances at once, each in a transaction of its own, with one external id or one each; print them."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvloop

from flowlet.definition.registry import Registry
from flowlet.settings import Settings
from flowlet.store.opening import open_store


async def create_concurrently(count: int, external_id: str | None) -> None:
    registry = Registry()
    definition = registry.load(str(Path(__file__).parent / "workflows" / "errand.py"))
    async with open_store(Settings().database_url) as store:
        now = store.clock.now()
        news = [definition.build_instance(None, now=now, external_id=external_id) for _ in range(count)]
        made = await asyncio.gather(*(store.instances.create([new], now=now) for new in news))
    print("\n".join(f"created {one.id} {one.is_new}" for (one,) in made))  # noqa: T201


if __name__ == "__main__":
    uvloop.run(create_concurrently(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None))
