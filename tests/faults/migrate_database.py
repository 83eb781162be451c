"""Say when everything is loaded, then open a database, which makes its tables."""

from __future__ import annotations

import uvloop

from flowlet.settings import Settings
from flowlet.store.opening import load_dialect, open_store


async def migrate_database(url: str) -> None:
    load_dialect(url)
    print("ready", flush=True)  # noqa: T201
    async with open_store(url):
        print("migrated", flush=True)  # noqa: T201


if __name__ == "__main__":
    uvloop.run(migrate_database(Settings().database_url))
