"""Schedules through both clients."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flowlet.client import BadRequestError, NotFoundError, RefusedError
from tests.client.served_api import CLIENT_KINDS, ServedApi


@pytest.mark.parametrize("client_kind", CLIENT_KINDS)
async def test_a_schedule_is_made_changed_fired_and_deleted(served_api: ServedApi, client_kind: str) -> None:
    async with served_api.build_client(client_kind) as client:
        schedules = client.schedules
        made = await schedules.create(
            "Orders", "nightly", cron="0 3 * * *", overlap="wait", jitter=timedelta(minutes=5), vars={"way": "review"}
        )
        with pytest.raises(BadRequestError) as caught:
            await schedules.preview("Orders", "other", cron="0 3 * *")
        previewed = await schedules.preview("Orders", "other", every="1 day", timezone="Europe/Berlin")
        paused = await schedules.pause("nightly", reason="holidays", expected_version=made.version)
        with pytest.raises(RefusedError):
            await schedules.resume("nightly", expected_version=made.version)
        await schedules.resume("nightly")
        edited = await schedules.update("nightly", every=timedelta(minutes=15), vars={"way": "review"})
        fired = await schedules.fire("nightly")
        first = datetime(2026, 3, 28, tzinfo=UTC)
        filled = await schedules.backfill("nightly", first, first + timedelta(minutes=30))

        assert (made.type, made.jitter_seconds, made.cron, paused.paused_reason) == (
            "Orders",
            300,
            "0 3 * * *",
            "holidays",
        )
        assert "cron" in caught.value.errors
        assert (len(previewed), edited.every, edited.overlap) == (10, "15 minutes", "allow")
        assert (await client.get(fired.id)).key == "nightly"
        assert (filled.created_count, len(filled.instances)) == (3, 3)
        assert len(await schedules.list_times("nightly", count=2)) == 2
        assert [one.name for one in await schedules.list_all(type="Orders")] == ["nightly"]
        await schedules.delete("nightly")
        with pytest.raises(NotFoundError):
            await schedules.get("nightly")
