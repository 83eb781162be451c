"""Messages whose names only the higher one of two versions of a workflow knows."""

from __future__ import annotations

from flowlet.operations.service import Operations
from tests.engine.versions.versions_harness import build_registry, open_versions, run_version

IS_GATED = "gate IS NOT NULL AND status = 'IN_PROGRESS'"


async def test_a_message_that_only_a_higher_version_knows_waits_for_its_executors(database_url: str) -> None:
    new = build_registry("receipt_v2")
    async with open_versions(database_url) as seen:
        operations = Operations(seen.store, new)
        ids = await seen.create_instances(build_registry("receipt_v1"), "Receipt", [{}, {}, {}])
        async with run_version(database_url, "receipt_v1", name="old"):
            await seen.wait_until_count("status = 'WAITING'", 3)
            await operations.send("withdrawal", to=ids[0])
            await operations.send("archived", to=ids[1])
            await operations.send("payment", to=ids[1])
            await operations.send("payment", to=ids[2])
            await seen.wait_until_count(IS_GATED, 2)
            await seen.wait_until_count("status = 'FINISHED'", 1)
            async with run_version(database_url, "receipt_v2", name="new"):
                await seen.wait_until_all_end()

        assert [(await seen.get_instance(id)).state for id in ids] == ["withdrawn", "paid", "paid"]
        assert await seen.fetch_rows("SELECT id FROM flowlet_message WHERE consumed IS NULL") == []
        await seen.check_nothing_is_lost(ids)
