"""What a handler may add to the state it returns: a delay, a log line, children."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from flowlet.clock import Duration, limit_time, parse_duration, to_microseconds

if TYPE_CHECKING:
    from flowlet.workflow.states import State

__all__ = ["ChildRequest", "Destination", "Outcome", "child"]


@dataclass(frozen=True, slots=True)
class ChildRequest:
    """A child that a transition creates. Returned by ``Workflow.child(...)`` and ``child("Name", ...)``.

    Attributes:
        type: The name of the child's workflow.
        vars: Its variables.
        key: Its business key; None means its external id.
        external_id: Its external id; if None, it is derived from the parent's external id, the visit and the child's
            position among the children of that visit.
        group: Its executor group; None means its workflow's.
        priority: 0 to 9; None means its workflow's.
    """

    type: str
    vars: BaseModel | Mapping[str, Any]
    key: str | None = None
    external_id: str | None = None
    group: str | None = None
    priority: int | None = None

    def with_ids(self, *, key: str | None = None, external_id: str | None = None) -> ChildRequest:
        """Return the same request with this business key and external id; None keeps the present one."""
        return replace(self, key=key or self.key, external_id=external_id or self.external_id)

    def with_routing(self, *, group: str | None = None, priority: int | None = None) -> ChildRequest:
        """Return the same request with this executor group and priority (0 to 9); None keeps the present one."""
        return replace(self, group=group or self.group, priority=self.priority if priority is None else priority)


def child(name: str, vars: BaseModel | Mapping[str, Any] | None = None, /, **variables: Any) -> ChildRequest:
    """Return a request for a child of the named workflow.

    The variables are passed as one object or as keyword arguments: ``child("ShipmentWorkflow", box=3)``.
    """
    return ChildRequest(name, vars if vars is not None else variables)


class Destination:
    """The base of what a handler returns: a ``State``, or an ``Outcome``, which is a state with instructions.

    The methods return a new ``Outcome`` and can be chained: ``return ship.after("10 minutes").log("packed")``.
    """

    __slots__ = ()

    def _to_outcome(self) -> Outcome:
        raise NotImplementedError

    def after(self, delay: Duration) -> Outcome:
        """Enter the state after a delay.

        Raises:
            DurationError: If the delay is not a duration.
        """
        return replace(self._to_outcome(), enter_after=parse_duration(delay), enter_at_us=None)

    def at(self, when: datetime) -> Outcome:
        """Enter the state at a moment. A moment in the past means now; in UTC, none is after the year 9999.

        Raises:
            ValueError: If ``when`` has no time zone.
        """
        return replace(self._to_outcome(), enter_at_us=limit_time(to_microseconds(when)), enter_after=None)

    def log(self, text: str) -> Outcome:
        """Add a text to the transition's line of history: the reason for choosing this state."""
        outcome = self._to_outcome()
        return replace(outcome, text=f"{outcome.text}\n{text}" if outcome.text else text)

    def spawn(self, children: ChildRequest | Iterable[ChildRequest]) -> Outcome:
        """Create children in the same commit."""
        outcome = self._to_outcome()
        more = (children,) if isinstance(children, ChildRequest) else tuple(children)
        return replace(outcome, children=outcome.children + more)

    def when_children_end(self, *, within: Duration | None = None) -> Outcome:
        """Enter the state when the last open child has ended, or after ``within``, whichever comes first.

        Raises:
            DurationError: If ``within`` is not a duration.
        """
        return replace(
            self._to_outcome(),
            waits_for_children=True,
            enter_after=None if within is None else parse_duration(within),
            enter_at_us=None,
        )

    def wake_parent(self) -> Outcome:
        """Run the parent now, even if other children are still open."""
        return replace(self._to_outcome(), wakes_parent=True)


@dataclass(frozen=True, slots=True)
class Outcome(Destination):
    """A state and how it is entered. Immutable; returned by the methods of ``State`` and of ``Outcome`` itself.

    Attributes:
        state: The state to enter.
        enter_after: How long to wait before entering it; None means no delay.
        enter_at_us: When to enter it, in microseconds since 1970 UTC; None means now. At most one of the two is set.
        text: The text of the transition's line of history.
        children: The children to create.
        waits_for_children: Whether to enter the state only when the last open child has ended.
        wakes_parent: Whether the parent runs now.
    """

    state: State[..., Any]
    enter_after: timedelta | None = None
    enter_at_us: int | None = None
    text: str | None = None
    children: tuple[ChildRequest, ...] = ()
    waits_for_children: bool = False
    wakes_parent: bool = False

    def _to_outcome(self) -> Outcome:
        return self
