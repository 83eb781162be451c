"""A message that was sent to an instance, the wait for one, and what a transition does to both."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from flowlet.clock import to_datetime
from flowlet.instance.json_text import parse_json, parse_shown_object, write_json

__all__ = ["Message", "MessageEffects", "MessageWait", "ReceivedNames", "Sent"]


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was sent to an instance. Times in microseconds since 1970 UTC.

    The properties return the same values as datetimes in UTC and as Python objects.

    Attributes:
        id: Its id; of two messages to one instance the later one has the higher id.
        workflow_id: The id of the instance.
        name: Its name, by which a receive state waits for it.
        key: Unique among the messages of this name to this instance; given by the sender, or generated.
        body_json: Its body, as JSON text of an object.
        sender: The user who sent it; None for code.
        sent_us: When it was sent.
        expires_us: When it is deleted if no activation has read it by then; None for never.
        consumed_us: When a transition consumed it; None as long as it is unread.
    """

    id: int
    workflow_id: int
    name: str
    key: str
    body_json: str
    sender: str | None
    sent_us: int
    expires_us: int | None = None
    consumed_us: int | None = None

    @property
    def sent(self) -> datetime:
        """When it was sent."""
        return to_datetime(self.sent_us)

    @property
    def expires(self) -> datetime | None:
        """When it is deleted if it is still unread; None for never."""
        return None if self.expires_us is None else to_datetime(self.expires_us)

    @property
    def consumed(self) -> datetime | None:
        """When a transition consumed it; None as long as it is unread."""
        return None if self.consumed_us is None else to_datetime(self.consumed_us)

    @property
    def body(self) -> dict[str, Any]:
        """The body: a new dict at each access."""
        return parse_shown_object(self.body_json)


class ReceivedNames(NamedTuple):
    """The names of messages by which an activation finds the one that it receives.

    Attributes:
        awaited: Those that the instance's state receives.
        known: Those that any state of this version of the workflow receives.
        version: This version. A message that was sent under a higher one, and has none of the known names, is left to
            an executor that has loaded that version.
    """

    awaited: tuple[str, ...]
    known: tuple[str, ...]
    version: int


@dataclass(frozen=True, slots=True)
class Sent:
    """The result of a send.

    Attributes:
        id: The id of the message.
        key: Its key: the given one, or a generated one.
        workflow_id: The id of the instance to which it was sent.
        is_new: Whether this call sent it; False if the instance already had a message of this name with this key.
    """

    id: int
    key: str
    workflow_id: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class MessageWait:
    """What an instance in a receive state waits for; its JSON text is the instance's ``awaits_json``.

    Attributes:
        names: The names of the messages.
        until_us: The deadline, in microseconds since 1970 UTC; None for no limit.
    """

    names: tuple[str, ...]
    until_us: int | None

    @classmethod
    def parse(cls, text: str | None) -> MessageWait | None:
        """Return the wait of a text; None for None."""
        if text is None:
            return None
        value = parse_json(text)
        return cls(tuple(value["messages"]), value["until"])

    def write(self) -> str:
        """Return the JSON text."""
        return write_json({"messages": list(self.names), "until": self.until_us})


class MessageEffects(NamedTuple):
    """What a transition does to the messages of an instance, and to its wait for one.

    Attributes:
        awaits_json: The wait after the transition; None for none.
        unread_seen: For a transition into a wait, how many unread messages are known not to end it: if there are more
            when the transition is committed, the instance is due at once. None for any other transition.
        message_id: The message that the next attempt has to consume; None for any.
        consumed_id: The message that this transition consumes; None for none.
    """

    awaits_json: str | None
    unread_seen: int | None = None
    message_id: int | None = None
    consumed_id: int | None = None
