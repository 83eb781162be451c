"""A parent whose child's workflow is not loaded here: it waits where another process has that, and fails elsewhere."""

from __future__ import annotations

from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from tests.engine.versions.versions_harness import build_registry, open_versions, run_version

ROW_COUNT = "SELECT COUNT(*) FROM parcel_booking"


async def test_a_parent_goes_on_where_its_childs_workflow_is_loaded(database_url: str) -> None:
    async with open_versions(database_url) as seen:
        await seen.execute_sql("CREATE TABLE parcel_booking (number integer NOT NULL)")
        try:
            async with run_version(database_url, "parcel", name="parcels"):
                ids = await seen.create_instances(build_registry("shipment"), "Shipment", [{"number": 1}])
            async with run_version(database_url, "shipment", name="shipments"):
                await seen.wait_until_count("gate IS NOT NULL AND status = 'IN_PROGRESS'", 1)
                waiting, booked_by_refusal = await seen.get_instance(ids[0]), await seen.fetch_rows(ROW_COUNT)

                async with run_version(database_url, "shipment", "parcel", name="both"):
                    await seen.wait_until_all_end()

            await seen.check_nothing_is_lost(ids)
            assert waiting.reason == (
                "waits for another version: 'Parcel', of which it spawns a child, is not loaded here"
            )
            assert (booked_by_refusal, await seen.fetch_rows(ROW_COUNT)) == ([(0,)], [(1,)])
            assert await seen.read_gated_lines(ids[0]) == [(0, "shipments")]
        finally:
            await seen.execute_sql("DROP TABLE parcel_booking")


async def test_a_parent_of_a_child_that_nobody_has_ever_loaded_fails_at_once(database_url: str) -> None:
    async with open_versions(database_url) as seen:
        await seen.execute_sql("CREATE TABLE parcel_booking (number integer NOT NULL)")
        try:
            (id,) = await seen.create_instances(build_registry("shipment"), "Shipment", [{"number": 1}])

            async with run_version(database_url, "shipment", name="shipments"):
                await seen.wait_until_count("status = 'FAILED'", 1)

            failed = await seen.get_instance(id)
            assert (failed.status, failed.attempt) == (Status.FAILED, 1)
            assert "spawn() was given a child of a workflow that is not loaded: no workflow is called 'Parcel'" in str(
                failed.reason
            )
            assert ActionKind.GATED not in await seen.read_kinds(id)
            assert await seen.fetch_rows(ROW_COUNT) == [(0,)]
        finally:
            await seen.execute_sql("DROP TABLE parcel_booking")
