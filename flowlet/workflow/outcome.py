"""What a handler may add to the state it returns: a delay, a log line, children."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from flowlet.clock import Duration, limit_time, parse_duration, to_microseconds
from flowlet.instance.record_maker import build_maker

if TYPE_CHECKING:
    from flowlet.workflow.states import State

__all__ = ["ChildRequest", "ChildrenWait", "Destination", "Outcome", "child", "make_outcome"]


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


@dataclass(frozen=True, slots=True)
class ChildrenWait:
    """For how many of an instance's open children a transition waits; for all of them by default.

    Attributes:
        at_least: How many have to end; None for another measure.
        share: Which share of them has to end, above 0 and up to 1; None for another measure.
    """

    at_least: int | None = None
    share: float | None = None

    def compute_rest(self, open_children: int) -> int:
        """Return how many of so many open children may still be open when the wait is over."""
        if self.share is not None:
            ended = max(1, math.ceil(round(self.share * open_children, 9)))
        else:
            ended = open_children if self.at_least is None else self.at_least
        return max(0, open_children - ended)


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
        one = self._to_outcome()
        joined = f"{one.text}\n{text}" if one.text else text
        return make_outcome(
            one.state,
            one.enter_after,
            one.enter_at_us,
            joined,
            one.children,
            one.wait,
            one.wakes_parent,
        )

    def spawn(self, children: ChildRequest | Iterable[ChildRequest]) -> Outcome:
        """Create children in the same commit.

        More than 200 are counted and stored by that commit, and made soon after it, in parts of 100.
        """
        outcome = self._to_outcome()
        more = (children,) if isinstance(children, ChildRequest) else tuple(children)
        return replace(outcome, children=outcome.children + more)

    def when_children_end(
        self, *, at_least: int | None = None, share: float | None = None, within: Duration | None = None
    ) -> Outcome:
        """Enter the state when the open children have ended, or after ``within``, whichever comes first.

        The open children are those that had not ended when the instance was claimed, and those that are spawned here.

        Args:
            at_least: How many of them have to end, 1 or more; if fewer are open, all of these.
            share: Which share of them has to end, above 0 and up to 1; it is rounded up to whole children.
            within: The longest time to wait; None for any time.

        Raises:
            DurationError: If ``within`` is not a duration.
            ValueError: If ``at_least`` or ``share`` is out of range, or both are given.
        """
        if at_least is not None and share is not None:
            raise ValueError("when_children_end() takes at_least or share, not both")
        if at_least is not None and (type(at_least) is not int or at_least < 1):
            raise ValueError(f"at_least must be a whole number from 1, not {at_least!r}")
        if share is not None and not 0 < share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, not {share!r}")
        return replace(
            self._to_outcome(),
            wait=ChildrenWait(at_least, share),
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
        wait: For how many open children it waits before it enters the state; None for none.
        wakes_parent: Whether the parent runs now.
    """

    state: State[..., Any]
    enter_after: timedelta | None = None
    enter_at_us: int | None = None
    text: str | None = None
    children: tuple[ChildRequest, ...] = ()
    wait: ChildrenWait | None = None
    wakes_parent: bool = False

    def _to_outcome(self) -> Outcome:
        return self


make_outcome = build_maker(Outcome)
"""Makes an ``Outcome``; handlers log in many transitions."""
