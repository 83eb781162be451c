"""The events of workflows as a stream of server-sent events, which a client resumes where it was cut.

Source: "Server-sent events", WHATWG HTML Living Standard, section 9.2.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Hashable
from contextlib import aclosing, suppress
from operator import attrgetter
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic.alias_generators import to_camel
from quart import Blueprint, Response, request

from flowlet.accounts.roles import Role
from flowlet.clock import Clock
from flowlet.engine.event_stream import MAX_SUBSCRIBERS, EventBatch, EventDelivery
from flowlet.errors import StoreUnavailableError, UnknownInstanceError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.instance.json_text import write_json
from flowlet.store.history import HistoryEvent
from flowlet.text import MAX_INTEGER, parse_number
from flowlet.web.api.event_encoder import DeflatedEvents, EventEncoder, PlainEvents
from flowlet.web.auth import REAUTHORIZATION_SECONDS, get_principal, make_access_check, require_role
from flowlet.web.field_types import OptionalText
from flowlet.web.openapi.document import describe_route
from flowlet.web.parsing import read_query
from flowlet.web.problems import ProblemError, build_faults_problem, build_rate_limit_error
from flowlet.web.schemas import ApiModel, RequestModel, Timestamp, format_rfc3339
from flowlet.web.services import get_services
from flowlet.web.user_shares import EVENT_STREAMS, UserShares

__all__ = ["EventResponse", "blueprint", "encode_event"]

RECONNECT_MILLISECONDS = 2_000
"""After how long a client connects again."""
RETRY_AFTER_SECONDS = 10
"""The Retry-After of a request that is refused because there are too many streams."""
POSITION_HEADER = "Last-Event-ID"
"""In an answer, the position at which the stream begins: a client may lose it before the first event has come."""

EventId = Annotated[int | None, Field(ge=0, le=MAX_INTEGER)]

blueprint = Blueprint("events", __name__)


class EventQuery(RequestModel):
    """The events that a client wants: those that match all of the given fields.

    Attributes:
        workflow_id: The instance's id.
        external_id: The instance's external id; it need not exist yet.
        business_key: Which of the instances with this business key.
        workflow_type: The workflow's name.
        executor_group: Which executors run the instance.
        type: The kinds of line, such as TRANSITION; may be given several times.
        after: The id of the event after which to begin, 0 for the first one of all; omit it to begin now.
        limit: The number of events after which the stream ends; omit it for a stream that does not end.
        beats: Whether an event of the type ``beat`` comes when the stream has nothing to send: at its beginning or
            after its past, and after five seconds without an event. None comes while the database is unavailable.
    """

    workflow_id: Annotated[int | None, Field(ge=1, le=MAX_INTEGER)] = None
    external_id: OptionalText = None
    business_key: OptionalText = None
    workflow_type: OptionalText = None
    executor_group: OptionalText = None
    type: Annotated[list[ActionKind], BeforeValidator(lambda given: given if isinstance(given, list) else [given])] = (
        Field(default_factory=list)
    )
    after: EventId = None
    limit: Annotated[int | None, Field(ge=1, le=1000)] = None
    beats: bool = False

    @property
    def filter_key(self) -> Hashable:
        """A value that is equal for queries that match the same events."""
        texts = (self.external_id, self.business_key, self.workflow_type, self.executor_group)
        return self.workflow_id, *texts, frozenset(self.type)

    def is_match(self, event: HistoryEvent) -> bool:
        """Return whether an event matches all of the given fields."""
        wanted = (
            (self.workflow_id, event.workflow_id),
            (self.external_id, event.external_id),
            (self.business_key, event.business_key),
            (self.workflow_type, event.type),
            (self.executor_group, event.executor_group),
        )
        return all(one is None or one == found for one, found in wanted) and (not self.type or event.kind in self.type)


class EventResponse(ApiModel):
    """A line of a workflow's history, and the workflow.

    Attributes:
        id: The line's id, as in the history.
        workflow_id: The instance's id.
        workflow_type: The workflow's name.
        external_id: The instance's external id.
        business_key: The instance's business key.
        executor_group: Which executors run the instance.
        type: What kind of line it is, such as TRANSITION.
        on_behalf_of: The person for whom the user's API key acted; null for the user.
        status: The workflow's status when the event was read, which may be later than the line.
        state: The workflow's state then.
    """

    id: int
    workflow_id: int
    workflow_type: str
    external_id: str
    business_key: str
    executor_group: str
    type: ActionKind
    from_state: str | None
    to_state: str | None
    text: str | None
    attempt: int | None
    duration_ms: int | None
    executor_id: str | None
    username: str | None
    on_behalf_of: str | None
    date_time: Timestamp
    status: Status
    state: str


_RENAMED = {"workflow_type": "type", "type": "kind"}
_FIELDS = [name for name in EventResponse.model_fields if name != "date_time"]
_MEMBERS = tuple(map(to_camel, _FIELDS))
_get_values = attrgetter(*(_RENAMED.get(name, name) for name in _FIELDS))
"""The members of an event's JSON, but the time, and what returns their values."""


def encode_event(event: HistoryEvent) -> bytes:
    """Return an event as JSON, as ``EventResponse`` describes it, in less than half of the model's time."""
    members: dict[str, Any] = dict(zip(_MEMBERS, _get_values(event), strict=True))
    members["dateTime"] = format_rfc3339(event.at)
    return write_json(members).encode()


def _encode_event(delivery: EventDelivery) -> bytes:
    return encode_event(delivery.event)


_ENCODER = EventEncoder(_encode_event)
"""The texts are kept by the event itself, so that one encoder serves every application."""


@blueprint.get("/api/events")
@require_role(Role.VIEWER)
@describe_route(
    query=EventQuery,
    headers={"Last-Event-ID": "The id of the event after which to begin; takes precedence over `after`."},
    answers={200: "text/event-stream"},
    problems=(429,),
)
async def follow_events() -> Response:
    """Follow the events of workflows as server-sent events, for as long as the client stays connected.

    Each event's data is a line of history with its workflow. Its id is where ``Last-Event-ID``, or ``after``, resumes:
    nothing is missed, some events may come again. Without either the stream begins now. The answer's header
    ``Last-Event-ID`` is where it begins. If workflows were deleted of which events come later than that, an event of
    the type ``gap`` comes first, with ``after`` and ``until``: what came between them is not complete.
    """
    event_query = read_query(EventQuery)
    broadcaster, after = get_services().event_broadcaster, event_query.after
    if request.headers.get(POSITION_HEADER):
        after = _read_last_event_id()
    if broadcaster.subscriber_count >= MAX_SUBSCRIBERS:
        raise build_rate_limit_error(
            f"{MAX_SUBSCRIBERS:,} event streams are open already.", retry_after_seconds=RETRY_AFTER_SECONDS
        )
    get_services().user_shares.check(EVENT_STREAMS, get_principal().username)
    # Fixed before the answer begins: what the client does when it has the answer's headers comes as an event.
    end = await broadcaster.start()
    batches = broadcaster.subscribe(
        event_query.is_match,
        after=end if after is None else after,
        workflow_id=await _find_only_workflow_id(event_query),
        filter_key=event_query.filter_key,
    )
    is_deflated = request.accept_encodings.quality("deflate") > 0
    events = DeflatedEvents(_ENCODER) if is_deflated else PlainEvents(_ENCODER)
    stream = _stream_events(batches, events, make_access_check(), get_services().store.clock, event_query)
    answer = Response(
        b"" if request.method == "HEAD" else _hold_share(stream, get_services().user_shares, get_principal().username),
        content_type="text/event-stream",
        headers={
            "X-Accel-Buffering": "no",
            "Vary": "Accept-Encoding",
            POSITION_HEADER: str(end.position if after is None else after),
            **({"Content-Encoding": "deflate"} if is_deflated else {}),
        },
    )
    answer.timeout = None  # Quart would cut it after a minute
    return answer


async def _find_only_workflow_id(event_query: EventQuery) -> int | None:
    """Return the id of the only workflow whose events are wanted, if it exists already: only its past is read."""
    if event_query.workflow_id is not None or event_query.external_id is None:
        return event_query.workflow_id
    try:
        return (await get_services().store.queries.get_by_external_id(event_query.external_id)).id
    except UnknownInstanceError:
        return None


def _read_last_event_id() -> int:
    """Return the position in the header with which a browser resumes."""
    position = parse_number(request.headers[POSITION_HEADER].strip())
    if position is None:
        raise ProblemError(build_faults_problem({POSITION_HEADER: "has to be the id of an event of this endpoint"}))
    return position


async def _hold_share(stream: AsyncGenerator[bytes, None], shares: UserShares, username: str) -> AsyncIterator[bytes]:
    """Yield a stream while it holds a place of its user's share; nothing if others took the last one meanwhile.

    The place is taken here, not before the response: a response whose client has gone is never iterated.
    """
    if not shares.is_exhausted(EVENT_STREAMS, username):
        with shares.hold(EVENT_STREAMS, username):
            async with aclosing(stream):
                async for text in stream:
                    yield text


async def _stream_events(
    batches: AsyncGenerator[EventBatch, None],
    events: PlainEvents,
    has_access: Callable[[], Awaitable[bool]],
    clock: Clock,
    event_query: EventQuery,
) -> AsyncGenerator[bytes, None]:
    """Yield the text of the stream, until the stream or the subscriber's access ends, or the limit is reached."""
    checked_at, sent, limit = clock.monotonic(), 0, event_query.limit
    yield events.write_text(b"retry: %d\n\n" % RECONNECT_MILLISECONDS)
    async with aclosing(batches):
        async for batch in batches:
            deliveries = batch.deliveries[: None if limit is None else limit - sent]
            if event_query.beats and batch.is_current and not batch.deliveries:
                yield events.write_text(_ENCODER.encode_beat(batch))
            elif len(deliveries) == len(batch.deliveries):
                yield events.write_batch(batch)
            else:
                yield events.write_text(b"".join(map(_ENCODER.encode_delivery, deliveries)))
            sent += len(deliveries)
            if sent == limit:
                break
            if clock.monotonic() - checked_at < REAUTHORIZATION_SECONDS:
                continue
            checked_at = clock.monotonic()
            with suppress(StoreUnavailableError):  # which says nothing about the subscriber's access
                if not await has_access():
                    break
    if end := events.finish():
        yield end
