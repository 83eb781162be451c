"""Events as a server streams them, and how a test reads them."""

from __future__ import annotations

import json
from typing import Any

from flowlet.client import AsyncEvents, Event
from flowlet.clock import VirtualClock
from tests.engine.executor_harness import wait_for

__all__ = ["encode_event", "take_events", "wait_until_reading"]


def encode_event(id: int, **changes: Any) -> bytes:
    """Return an event as the server sends it."""
    values = {
        "id": id,
        "workflowId": 7,
        "workflowType": "Orders",
        "externalId": "order-7",
        "businessKey": "order-7",
        "executorGroup": "default",
        "type": "TRANSITION",
        "fromState": "check",
        "toState": "charge",
        "text": None,
        "attempt": 1,
        "durationMs": 12,
        "executorId": "executor-1",
        "username": None,
        "dateTime": "2030-01-01T00:00:00.000000Z",
        "status": "IN_PROGRESS",
        "state": "charge",
    }
    return f"id: {id}\ndata: {json.dumps({**values, **changes})}\n\n".encode()


async def take_events(events: AsyncEvents, count: int) -> list[Event]:
    """Return the next events."""
    return [await wait_for(anext(events)) for _ in range(count)]


async def wait_until_reading(events: AsyncEvents) -> None:
    """Wait until a client waits for an event."""
    while not events._is_reading:
        await VirtualClock().sleep(0)
