# Generated from flowlet/client/asynchronous/lanes.py by `make client`. Edit that file, not this one.
"""Lanes."""

from __future__ import annotations

from flowlet.client import endpoints
from flowlet.client.models import LaneKind, LanePause
from flowlet.client.synchronous.transport import Transport

__all__ = ["Lanes"]


class Lanes:
    """The lanes: whole workflows, and whole executor groups. Changes require the role operator."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list_paused(self) -> list[LanePause]:
        """Return the lanes that are paused: the groups, then the workflows, by name."""
        return self._transport.send(endpoints.build_get_request("/api/lanes", list[LanePause]))

    def pause(self, kind: LaneKind | str, name: str, *, reason: str) -> LanePause:
        """Let no executor claim from a lane until it is resumed; what runs goes on.

        Args:
            kind: "workflow" or "group".
            name: The name of the workflow or the group.
            reason: Why; it is shown where workflows wait.

        Raises:
            NotFoundError: If no executor has ever served the workflow.
            RefusedError: If the lane is paused already.
        """
        return self._transport.send(endpoints.build_lane_request("/api/lanes/pause", kind, name, reason=reason))

    def resume(self, kind: LaneKind | str, name: str) -> LanePause:
        """End the pause of a lane, and return what it was.

        Args:
            kind: "workflow" or "group".
            name: The name of the workflow or the group.

        Raises:
            RefusedError: If the lane is not paused.
        """
        return self._transport.send(endpoints.build_lane_request("/api/lanes/resume", kind, name))
