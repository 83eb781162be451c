"""``flowlet`` without what makes a message be read once: no commit knows which one its handler has read."""

from __future__ import annotations

import sys
from dataclasses import replace

from flowlet.cli import main
from flowlet.engine.messages.reader import MessageReader
from flowlet.instance.instance import Instance
from flowlet.instance.message import Message, ReceivedNames

__all__: list[str] = []

read_next = MessageReader.read_next


async def read_without_note(
    self: MessageReader, instance: Instance, names: ReceivedNames
) -> tuple[Instance, Message | None]:
    """Return the next message, and the instance without its id."""
    noted, message = await read_next(self, instance, names)
    return replace(noted, message_id=None), message


if __name__ == "__main__":
    MessageReader.read_next = read_without_note  # type: ignore[method-assign]
    sys.exit(main())
