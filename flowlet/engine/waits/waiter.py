"""One wait for an instance: which states end it, and how far the instance's history was read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from flowlet.errors import UnknownInstanceError, WaitTimeoutError
from flowlet.instance.instance import Instance
from flowlet.store.queries import InstancePosition

__all__ = ["WaitResult", "Waiter", "build_timeout_error", "build_unknown_error"]


@dataclass(frozen=True, slots=True)
class WaitResult:
    """The result of a wait.

    Attributes:
        instance: The instance as it was read after its arrival.
        has_reached: Whether it has reached one of the states; if none were given, it has ended, and this is True.
    """

    instance: Instance
    has_reached: bool


@dataclass(slots=True, eq=False)
class Waiter:
    """One wait.

    Attributes:
        states: The states that are waited for, as the caller has named them.
        since: The last line of history that was read; None before the first look.
        has_arrived: Whether the wait is over: its instance has entered one of the states, or has ended.
        has_reached: Whether its instance has entered one of the states.
        is_new: Whether the names were not read yet.
        names: All names of these states, as far as they are known.
    """

    id: int
    states: frozenset[str]
    deadline: float
    future: asyncio.Future[WaitResult]
    since: int | None
    version: int = -1
    has_arrived: bool = False
    has_reached: bool = False
    is_new: bool = True
    names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.names = self.states

    def note_position(self, state: str, *, has_ended: bool) -> bool:
        """Take note of the state that an instance is in, and return whether that ends the wait."""
        self.has_reached = self.has_reached or state in self.names
        self.has_arrived = self.has_arrived or self.has_reached or has_ended
        return self.has_arrived

    def is_behind(self, position: InstancePosition | None) -> bool:
        """Return whether the history may hold a state that is waited for, and has not been read."""
        return position is not None and bool(self.states) and self.version != position.version

    def fail(self, error: Exception) -> None:
        """End the wait with an error, if it has not ended."""
        if not self.future.done():
            self.future.set_exception(error)

    def succeed(self, instance: Instance) -> None:
        """End the wait with its instance, if it has not ended."""
        if not self.future.done():
            self.future.set_result(WaitResult(instance, self.has_reached or not self.states))

    def add_entries(self, entered_states: Iterable[tuple[int, str]], *, version: int) -> None:
        """Add the states that were entered, each with its line of history."""
        since = self.since or 0
        new = [(line, state) for line, state in entered_states if line > since]
        self.has_reached = self.has_reached or any(state in self.names for _, state in new)
        self.has_arrived = self.has_arrived or self.has_reached
        self.since = max((line for line, _ in new), default=since)
        self.version = version


def build_unknown_error(id: int) -> UnknownInstanceError:
    """Return the error of a wait for an instance that does not exist."""
    return UnknownInstanceError(f"no workflow has the id {id}")


def build_timeout_error(waiter: Waiter, instance: Instance | None) -> WaitTimeoutError:
    """Return the error of a wait that has timed out; None if its instance could not be read."""
    aim = f"reached {', '.join(sorted(waiter.states))}" if waiter.states else "ended"
    if instance is None:
        return WaitTimeoutError(f"workflow {waiter.id} has not {aim} in time, and the store does not answer")
    present = f"it is {instance.status} in state {instance.state!r}"
    return WaitTimeoutError(f"workflow {waiter.id} has not {aim} in time: {present}", instance)
