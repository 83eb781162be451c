"""The operations on lanes that the API, the console and the command line share: the pause of a workflow or a group."""

from __future__ import annotations

import logging

from flowlet.clock import to_datetime
from flowlet.errors import RefusedError, UnknownWorkflowError
from flowlet.instance.instance import Instance, Status
from flowlet.store.limits.table import LaneKind, LanePause
from flowlet.store.opening import Store
from flowlet.text import MAX_IDENTIFIER_LENGTH, MAX_REASON_LENGTH, clean_text

__all__ = ["LaneOperations", "describe_lane", "describe_lane_pause"]

logger = logging.getLogger(__name__)


class LaneOperations:
    """Lists, pauses and resumes lanes. Every change is one transaction; the log and the audit name who made it.

    A lane is all instances of one workflow, or of one executor group. While it is paused no executor claims from it,
    and no instance is written: running attempts end, and nothing follows them. Answers, messages, moves and new
    instances are taken as always.

    Args:
        store: The database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list_paused(self) -> list[LanePause]:
        """Return the paused lanes: the groups, then the workflows, by name."""
        return await self._store.lane_pauses.list_all()

    async def pause(self, kind: LaneKind | str, name: str, *, username: str, reason: str) -> LanePause:
        """Let no executor claim from a lane until it is resumed: in effect within a quarter of a second.

        Args:
            kind: "workflow" or "group".
            name: The workflow, or the group; a group may be one that no executor serves yet.
            username: Who pauses it.
            reason: Why; required, and shown wherever something waits for it.

        Raises:
            UnknownWorkflowError: If no executor has ever served the workflow.
            RefusedError: If there is no reason, or the lane is paused already.
            ValueError: If the kind is another one.
        """
        kind = LaneKind(kind)
        if not reason.strip():
            raise RefusedError("pausing a lane needs a reason: it is shown where workflows wait")
        if kind is LaneKind.WORKFLOW and not await self._store.definitions.has_definition(name):
            raise UnknownWorkflowError(f"no process has served a workflow called {name!r}")
        by, text = clean_text(username, MAX_IDENTIFIER_LENGTH), clean_text(reason, MAX_REASON_LENGTH)
        pause = LanePause(kind, clean_text(name, MAX_IDENTIFIER_LENGTH), self._store.clock.now(), by, text)
        await self._store.lane_pauses.pause(pause, check=_check_not_paused)
        logger.warning("%s has paused %s: %s", by, describe_lane(pause.kind, pause.name), text)
        return pause

    async def resume(self, kind: LaneKind | str, name: str, *, username: str) -> LanePause:
        """End the pause of a lane, and return what was its pause: what is due in it is claimed at once.

        Raises:
            RefusedError: If it is not paused.
            ValueError: If the kind is neither "workflow" nor "group".
        """
        kind = LaneKind(kind)
        by, now = clean_text(username, MAX_IDENTIFIER_LENGTH), self._store.clock.now()
        ended = await self._store.lane_pauses.resume(kind, name, now=now, username=by)
        if ended is None:
            raise RefusedError(f"{describe_lane(kind, name)} is not paused")
        logger.info("%s has resumed %s", by, describe_lane(kind, name))
        return ended

    async def explain_wait(self, instance: Instance) -> str | None:
        """Return which paused lane keeps an instance from running, in one sentence; None if none does."""
        return self.explain_pause(instance, await self.find_pause(instance)) if self._is_due(instance) else None

    def explain_pause(self, instance: Instance, pause: LanePause | None) -> str | None:
        """Return in one sentence that the pause of an instance's lane keeps it from running; None if it does not."""
        if pause is None or not self._is_due(instance):
            return None
        return f"It waits because {describe_lane_pause(pause)}."

    def _is_due(self, instance: Instance) -> bool:
        due = instance.next_activation_us
        is_runnable = instance.status in (Status.NEW, Status.IN_PROGRESS)
        return is_runnable and due is not None and due <= self._store.clock.now()

    async def find_pause(self, instance: Instance) -> LanePause | None:
        """Return the pause of an instance's group, or of its workflow; None if neither is paused, or it has ended."""
        if instance.has_ended:
            return None
        paused = await self.list_paused()
        return next((pause for pause in paused if pause.includes(instance.type, instance.group)), None)


def describe_lane(kind: LaneKind, name: str) -> str:
    """Return the name of a lane in messages."""
    return f"the {'workflow' if kind is LaneKind.WORKFLOW else 'executor group'} {name!r}"


def describe_lane_pause(pause: LanePause) -> str:
    """Return which lane is paused, by whom, since when, and why."""
    since = f"{to_datetime(pause.paused_at):%Y-%m-%d %H:%M:%S} UTC"
    return f"{describe_lane(pause.kind, pause.name)} is paused by {pause.paused_by} since {since}: {pause.reason}"


def _check_not_paused(found: LanePause | None) -> None:
    if found is not None:
        raise RefusedError(f"{describe_lane(found.kind, found.name)} is paused already by {found.paused_by!r}")
