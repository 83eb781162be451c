"""The fault of a person: a whole workflow, or the executor group of all, is paused and resumed over the API."""

from __future__ import annotations

import threading
from collections.abc import Callable

import httpx

from flowlet.client import Client
from flowlet.client.errors import ClientError, RefusedError
from tests.chaos.evidence import LaneWindow
from tests.chaos.fleet import wait_until
from tests.chaos.limits.attempts import read_now
from tests.chaos.recovery_times.recovery import Recovery
from tests.chaos.scene import Scene

__all__ = ["pause_lane"]

LANES = (("workflow", "Parcel"), ("workflow", "Voyage"), ("group", "default"))
SETTLE_SECONDS = 4.0
"""When no handler of a paused lane begins any more: a claim in flight may wait for the lock of a SQLite file."""
ANSWER_SECONDS = 30.0
REQUEST_TIMEOUT = "5s"


def pause_lane(scene: Scene) -> Recovery:
    """Pause a lane for up to two leases after it has settled; note the time in which nothing of it may begin."""
    kind, name = scene.random.choice(LANES)
    _repeat(scene, lambda client: client.lanes.pause(kind, name, reason="the judge wants to see it"))
    threading.Event().wait(SETTLE_SECONDS)
    began = read_now()
    scene.pause(0.5, 2)
    scene.lane_windows.append(LaneWindow(kind, name, began, read_now()))
    _repeat(scene, lambda client: client.lanes.resume(kind, name))
    return scene.measure_progress()


def _repeat(scene: Scene, send: Callable[[Client], object]) -> None:
    """Send a request until it is answered; a refusal says that one whose answer was lost has been carried out."""

    def try_once() -> bool:
        scene.fleet.list_ready()
        try:
            with httpx.Client() as http:
                address = scene.random.choice(scene.fleet.list_addresses())
                send(Client(address, key=scene.key, http=http, timeout=REQUEST_TIMEOUT, retries=0))
        except RefusedError:
            return True
        except ClientError:
            return False
        return True

    assert wait_until(try_once, timeout_seconds=ANSWER_SECONDS), "no executor has answered"
