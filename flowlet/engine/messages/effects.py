"""What a transition does to the messages of its instance: the wait that it begins or ends, the message it consumes."""

from __future__ import annotations

from flowlet.definition.entry import StateEntry
from flowlet.instance.instance import Instance
from flowlet.instance.message import MessageEffects, MessageWait

__all__ = ["build_entry_messages", "keep_message"]


def build_entry_messages(instance: Instance, entry: StateEntry, until_us: int | None) -> MessageEffects | None:
    """Return what entering a state does; None where neither the state nor the one before has to do with messages.

    The message that the activation has read is consumed, whichever way leads on from it: by ``on_error`` too, because
    a state that leads back would read it again without end. In a receive state every unread message counts at first,
    also one that was sent long before: so the instance is due at once if there is any.

    Args:
        instance: The instance as the activation began; its ``message_id`` is the message that was read.
        entry: The state that is entered.
        until_us: The deadline of the wait that begins, in microseconds since 1970 UTC; None for no limit.
    """
    if entry.messages:
        awaits = MessageWait(entry.messages, until_us).write()
        return MessageEffects(awaits, unread_seen=0, consumed_id=instance.message_id)
    if instance.awaits_json is None and instance.message_id is None:
        return None
    return MessageEffects(None, consumed_id=instance.message_id)


def keep_message(instance: Instance) -> MessageEffects | None:
    """Return what a transition does that stays in its state: the next attempt consumes the same message.

    None where there is none.
    """
    if instance.message_id is None:
        return None
    return MessageEffects(instance.awaits_json, message_id=instance.message_id)
