"""Sends of messages: the instance is locked, the message inserted, and the instance changed in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from flowlet.errors import RefusedError, UnknownInstanceError
from flowlet.instance.change import Change
from flowlet.instance.instance import Instance
from flowlet.instance.message import Sent
from flowlet.store.changes import apply_changes, build_select
from flowlet.store.database_session import DatabaseSession
from flowlet.store.rows import INSTANCE_READER
from flowlet.store.tables import HAS_BUSINESS_KEY, IS_NOT_DONE, MESSAGE, WORKFLOW
from flowlet.text import MAX_INTEGER

__all__ = ["BusinessAddress", "NewMessage", "SendDecision", "send_in_session"]

_OPEN = f"status IN ('NEW', 'EXECUTING', 'IN_PROGRESS', 'WAITING', 'PAUSED') AND {IS_NOT_DONE}"
_IS_ADDRESSED = f"business_key = :business_key AND {HAS_BUSINESS_KEY} AND workflow_type = :type"
_FIND_OPEN = f"SELECT id FROM {WORKFLOW} WHERE {_IS_ADDRESSED} AND {_OPEN} LIMIT 1000"
_FIND_SENT = f"""
SELECT m.id, m.workflow_id FROM {WORKFLOW} w JOIN {MESSAGE} m ON m.workflow_id = w.id
WHERE {_IS_ADDRESSED} AND m.name = :name AND m.message_key = :key ORDER BY m.id DESC LIMIT 1
"""
_FIND_KNOWN = f"SELECT id FROM {MESSAGE} WHERE workflow_id = :workflow_id AND name = :name AND message_key = :key"
_NAMES = ("workflow_id", "name", "message_key", "body", "sender", "definition_version", "sent", "expires")
_INSERT = f"INSERT INTO {MESSAGE} ({', '.join(_NAMES)}) VALUES ({', '.join(f':{name}' for name in _NAMES)})"


@dataclass(frozen=True, slots=True)
class BusinessAddress:
    """The one open instance of a workflow that has a business key."""

    type: str
    business_key: str


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to send. Times in microseconds since 1970 UTC.

    Attributes:
        name: Its name.
        key: Its key; of two sends with one key to one instance the first one counts.
        sender: The user who sends it; None for code.
        sent: When it is sent.
        expires: When it is deleted if no activation has read it by then; None for never.
    """

    name: str
    key: str
    sender: str | None
    sent: int
    expires: int | None


class SendDecision(NamedTuple):
    """What a send stores for an instance that does not have the message yet.

    Attributes:
        body: The message's body, as JSON text.
        definition_version: The version of the workflow as the sender has loaded it.
        change: The change of the instance.
    """

    body: str
    definition_version: int
    change: Change


async def send_in_session(
    session: DatabaseSession,
    address: int | str | BusinessAddress,
    new: NewMessage,
    *,
    has_own_key: bool,
    decide: Callable[[Instance], SendDecision],
) -> Sent:
    """Send a message inside the caller's transaction. The instance stays locked until that ends.

    Args:
        session: The transaction.
        address: The instance: its id, its external id, or its workflow and business key.
        new: The message.
        has_own_key: Whether the sender has given the key.
        decide: Returns what to store for the locked instance. It is not asked about a message that the instance has
            already.

    Raises:
        UnknownInstanceError: If there is no such instance.
        RefusedError: If more than one open instance has the business key; or any other error that ``decide`` raises.
    """
    if sql := session.dialect.expressions.take_write_lock_sql:
        await session.execute(sql)
    if isinstance(address, BusinessAddress):
        known = await _find_sent(session, address, new) if has_own_key else None
        if known is not None:
            return known
        address = await _find_open(session, address)
    instance = await _lock(session, address)
    found = await _find_known(session, instance, new)
    if found is not None:
        return Sent(found, new.key, instance.id, is_new=False)
    body, version, change = decide(instance)
    values: dict[str, object] = {"workflow_id": instance.id, "name": new.name, "message_key": new.key, "body": body}
    values |= {"sender": new.sender, "definition_version": version, "sent": new.sent, "expires": new.expires}
    await session.execute(_INSERT, values)
    await apply_changes(session, [change], now=new.sent)
    if change.keeps_version and session.pending_commit is not None:  # nothing has become due by it
        session.pending_commit = replace(session.pending_commit, due_groups=frozenset())
    id = await _find_known(session, instance, new)
    assert id is not None  # noqa: S101 - it was inserted under the lock of the instance
    return Sent(id, new.key, instance.id, is_new=True)


async def _lock(session: DatabaseSession, address: int | str) -> Instance:
    name, column = ("id", "id") if isinstance(address, int) else ("external id", "external_id")
    is_possible = isinstance(address, str) or 0 < address <= MAX_INTEGER
    sql = build_select(f"{column} = :address", lock=session.dialect.expressions.for_update_sql)
    found = await session.fetch_rows(sql, {"address": address}) if is_possible else []
    if not found:
        raise UnknownInstanceError(f"no workflow has the {name} {address!r}")
    return INSTANCE_READER.parse(found[0])


async def _find_known(session: DatabaseSession, instance: Instance, new: NewMessage) -> int | None:
    # Locked, because in a transaction that another program has begun a plain read may show what was there before.
    sql = f"{_FIND_KNOWN} {session.dialect.expressions.for_update_sql}"
    rows = await session.fetch_rows(sql, {"workflow_id": instance.id, "name": new.name, "key": new.key})
    return int(rows[0][0]) if rows else None


async def _find_sent(session: DatabaseSession, address: BusinessAddress, new: NewMessage) -> Sent | None:
    """Return the message of this key that was sent to any instance of the address, also to one that has ended."""
    binds = {"business_key": address.business_key, "type": address.type, "name": new.name, "key": new.key}
    rows = await session.fetch_rows(_FIND_SENT, binds)
    return Sent(int(rows[0][0]), new.key, int(rows[0][1]), is_new=False) if rows else None


async def _find_open(session: DatabaseSession, address: BusinessAddress) -> int:
    rows = await session.fetch_rows(_FIND_OPEN, {"business_key": address.business_key, "type": address.type})
    subject = f"{address.type} with the business key {address.business_key!r}"
    if not rows:
        raise UnknownInstanceError(f"no {subject} is open")
    if len(rows) > 1:
        text = f"{len(rows)} instances of {subject} are open: send the message to one of them, by its id"
        raise RefusedError(text, reason="more than one open instance has this business key")
    return int(rows[0][0])
