"""The message that an activation receives, read before its handler runs."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from flowlet.engine.outage import retry_while_away
from flowlet.instance.instance import Instance
from flowlet.instance.message import Message, ReceivedNames
from flowlet.store.opening import Store

__all__ = ["MessageReader"]


class MessageReader:
    """Reads the messages of instances in receive states.

    Args:
        store: The database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read_next(self, instance: Instance, names: ReceivedNames) -> tuple[Instance, Message | None]:
        """Return the message that an activation receives, and the instance with its id; however long the store is away.

        It is the one with which former attempts of this visit have failed, or else the oldest unread one. None, and
        the instance as it is, if there is none. A message of an unknown name, which a higher version of the workflow
        has to receive, is returned without being noted in the instance.

        Args:
            instance: The instance, as claimed.
            names: The names of the messages that its state receives, and those that its workflow knows.
        """
        activity = f"reading a message of workflow {instance.id}"
        clock, known = self._store.clock, instance.message_id
        read = partial(self._store.messages.read_next, instance.id, names, known, now=clock.now())
        message = await retry_while_away(read, clock, activity)
        if message is None or message.name not in names.known:
            return instance, message
        return replace(instance, message_id=message.id), message
