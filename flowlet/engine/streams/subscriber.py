"""One subscriber to the stream of events: what it wants, what it gets, and how far it is."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

from flowlet.store.history import HistoryEvent

__all__ = ["EventBatch", "EventDelivery", "StreamEnd", "Subscriber"]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class EventDelivery:
    """An event, and the position from which to resume if it is the last one that has arrived.

    All subscribers get the same object, so that what is made of it can be kept for the others.
    """

    position: int
    event: HistoryEvent


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class EventBatch:
    """What a subscriber gets: deliveries in order, or none, and the position after all of them.

    Subscribers at the same place that want the same events get the same object.

    Attributes:
        gap_end: Up to this line, events after the position at which the subscriber resumed were deleted; 0 if none was.
        is_current: Whether everything that the database has was sent: False while it is away, and before the last page
            of a subscriber's past.
    """

    position: int
    deliveries: Sequence[EventDelivery] = ()
    gap_end: int = 0
    is_current: bool = True


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """The end of the stream at one moment: a subscription that begins here gets what is committed later, and no more.

    Attributes:
        position: The line up to which nothing is missing.
        place: How many of the loop's events come before.
    """

    position: int
    place: int


class Subscriber:
    """The events that a subscriber wants, and its progress.

    Attributes:
        wanted: Returns whether it wants an event.
        workflow_id: The only instance whose events it wants, if there is one.
        position: The line up to which every event has been sent.
        place: How many of the loop's events come before its next one.
        sent: The ids that have been sent beyond the position.
        filter_key: Equal for subscribers that want the same events; None if it is not known.
    """

    __slots__ = ("filter_key", "place", "position", "sent", "wanted", "workflow_id")

    def __init__(
        self,
        wanted: Callable[[HistoryEvent], bool],
        workflow_id: int | None,
        begin: StreamEnd,
        filter_key: Hashable,
    ) -> None:
        self.wanted = wanted
        self.workflow_id = workflow_id
        self.position = begin.position
        self.place = begin.place
        self.sent: set[int] = set()
        self.filter_key = filter_key

    def select_deliveries(self, deliveries: Iterable[EventDelivery]) -> list[EventDelivery]:
        """Return the deliveries that are wanted and have not been sent yet."""
        return [one for one in deliveries if one.event.id not in self.sent and self.wanted(one.event)]
