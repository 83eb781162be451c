"""The calls of a client that concern limits and lanes."""

from __future__ import annotations

import pytest

from flowlet.client import AsyncClient, BadRequestError, LaneKind, NotFoundError, RefusedError
from flowlet.definition.limits.limit_policy import build_limit_policy
from flowlet.workflow.limits import Limit, Rate
from tests.client.served_api import ServedApi

__all__ = ["hold_limits", "pause_lanes"]


async def hold_limits(client: AsyncClient, served: ServedApi) -> None:
    """Hold a limit, and release it."""
    services = served.api.app_harness.services
    policy = build_limit_policy("Orders", "charge", 1, limit=Limit(10, by="way"), rate=Rate(100, per="1 minute"))
    assert policy is not None
    await services.store.limits.save_policies([policy])
    (listed,) = await client.limits.list_all()
    assert (listed.capacity, listed.key_variable, listed.rate_period_seconds, listed.running) == (10, "way", 60, 0)
    held = await client.limits.hold("Orders", state="charge", reason="the bank moves")
    assert (held.held_by, held.held_reason, held.held is not None) == ("ada", "the bank moves", True)
    with pytest.raises(RefusedError):
        await client.limits.hold("Orders", state="charge", reason="again")
    with pytest.raises(NotFoundError):
        await client.limits.release("Orders")
    with pytest.raises(BadRequestError, match="from a millisecond to 31 days"):
        await client.limits.release("Orders", "charge", interval="32 days")
    released = await client.limits.release("Orders", "charge", interval="100ms")
    assert (released.held, released.opened_interval_seconds, released.opened_until) == (None, 0.1, None)


async def pause_lanes(client: AsyncClient, served: ServedApi) -> None:
    """Pause a workflow and a group, and resume them."""
    services = served.api.app_harness.services
    await services.store.definitions.save_definitions(services.registry.definitions, now=1)
    paused = await client.lanes.pause(LaneKind.WORKFLOW, "Orders", reason="the bank moves")
    assert (paused.kind, paused.name, paused.paused_by, paused.reason) == (
        "workflow",
        "Orders",
        "ada",
        "the bank moves",
    )
    await client.lanes.pause("group", "night", reason="an upgrade")
    id = (await client.create("Orders", group="night")).id
    instance = await client.get(id)
    detail = instance.lane_pause
    assert detail is not None
    assert (instance.wait_reason or "").startswith(
        "It waits because the executor group 'night' is paused by ada since "
    )
    assert (detail.kind, detail.name, detail.paused_by, detail.reason) == ("group", "night", "ada", "an upgrade")
    assert (await client.search(group="night")).instances[0].lane_pause is None
    assert [(one.kind, one.name) for one in await client.lanes.list_paused()] == [
        (LaneKind.GROUP, "night"),
        (LaneKind.WORKFLOW, "Orders"),
    ]
    with pytest.raises(NotFoundError):
        await client.lanes.pause("workflow", "Order", reason="why")
    with pytest.raises(RefusedError):
        await client.lanes.pause("group", "night", reason="again")
    assert (await client.lanes.resume("group", "night")).reason == "an upgrade"
    await client.lanes.resume("workflow", "Orders")
    resumed = await client.get(id)
    assert (resumed.lane_pause, resumed.wait_reason) == (None, None)
    with pytest.raises(RefusedError):
        await client.lanes.resume("workflow", "Orders")
