"""What a handler may return: a state, or a state with instructions for the transition (an ``Outcome``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from flowlet.clock import to_microseconds
from flowlet.durations import Duration, parse_duration

if TYPE_CHECKING:
    from flowlet.workflow.states import State

__all__ = ["ChildRequest", "Next", "Outcome", "child"]


@dataclass(frozen=True, slots=True)
class ChildRequest:
    """A child that a transition is to create. Made by ``Workflow.child(...)`` or ``child("Name", ...)``.

    ``external_id`` is made from the parent's, the visit and the child's place where it is None.
    """

    type: str
    vars: BaseModel | Mapping[str, Any]
    key: str | None = None
    external_id: str | None = None
    group: str | None = None
    priority: int | None = None

    def with_ids(self, *, key: str | None = None, external_id: str | None = None) -> ChildRequest:
        """Return the same request with a business key, or an external id of its own."""
        return replace(self, key=key or self.key, external_id=external_id or self.external_id)

    def with_routing(self, *, group: str | None = None, priority: int | None = None) -> ChildRequest:
        """Return the same request for another executor group or priority (0 to 9) than its workflow's."""
        return replace(self, group=group or self.group, priority=self.priority if priority is None else priority)


def child(name: str, vars: BaseModel | Mapping[str, Any] | None = None, /, **variables: Any) -> ChildRequest:
    """Return a request for a child of the named workflow, with a vars object or with variables by keyword."""
    return ChildRequest(name, vars if vars is not None else variables)


class Next:
    """What a handler returns: where to go, and what else this transition does.

    A state is one; the methods return a new value with more said, and may be chained:
    ``return ship.after("10 minutes").log("packed")``.
    """

    __slots__ = ()

    def _to_outcome(self) -> Outcome:
        raise TypeError(f"{type(self).__name__} is not a state")

    def after(self, delay: Duration) -> Outcome:
        """Enter the state after a delay.

        Raises:
            DurationError: If the delay is not a length of time.
        """
        return replace(self._to_outcome(), delay=parse_duration(delay), at_time=None)

    def at(self, when: datetime) -> Outcome:
        """Enter the state at a moment; one that has passed means at once.

        Raises:
            ValueError: If ``when`` has no time zone.
        """
        return replace(self._to_outcome(), at_time=to_microseconds(when), delay=None)

    def log(self, text: str) -> Outcome:
        """Say in the history why this way was taken."""
        outcome = self._to_outcome()
        return replace(outcome, text=f"{outcome.text}\n{text}" if outcome.text else text)

    def spawn(self, children: ChildRequest | Iterable[ChildRequest]) -> Outcome:
        """Create children in the same commit."""
        outcome = self._to_outcome()
        more = (children,) if isinstance(children, ChildRequest) else tuple(children)
        return replace(outcome, children=outcome.children + more)

    def when_children_end(self, *, within: Duration | None = None) -> Outcome:
        """Enter the state when the last open child has ended, or ``within`` has passed.

        Raises:
            DurationError: If ``within`` is not a length of time.
        """
        return replace(
            self._to_outcome(),
            waits_for_children=True,
            delay=None if within is None else parse_duration(within),
            at_time=None,
        )

    def wake_parent(self) -> Outcome:
        """Make the parent due at once, without waiting for the other children."""
        return replace(self._to_outcome(), wakes_parent=True)


@dataclass(frozen=True, slots=True)
class Outcome(Next):
    """A state with more said about how it is entered. Immutable; made by the methods of ``Next``."""

    state: State[..., Any]
    delay: timedelta | None = None
    at_time: int | None = None
    text: str | None = None
    children: tuple[ChildRequest, ...] = ()
    waits_for_children: bool = False
    wakes_parent: bool = False

    def _to_outcome(self) -> Outcome:
        return self
