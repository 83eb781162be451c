"""Messages from outside: sending one to an instance, and listing those that it has not consumed."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from flowlet.accounts.access import get_access
from flowlet.clock import Duration
from flowlet.definition.definition import Definition
from flowlet.definition.registry import Registry
from flowlet.errors import RefusedError, UnknownMessageError, VariablesError
from flowlet.instance.action import Action, ActionKind
from flowlet.instance.change import Change
from flowlet.instance.identifier_faults import find_identifier_faults
from flowlet.instance.instance import Instance, Status
from flowlet.instance.message import Message, MessageWait, Sent
from flowlet.operations.permitted import describe_instance
from flowlet.operations.run_times import resolve_time
from flowlet.store.callers.session import open_caller_session
from flowlet.store.database_session import DatabaseSession
from flowlet.store.messages.sends import BusinessAddress, NewMessage, SendDecision, send_in_session
from flowlet.store.opening import Store
from flowlet.text import MAX_IDENTIFIER_LENGTH, clean_text, format_suggestion

__all__ = ["MAX_LISTED_MESSAGES", "MessageOperations", "apply_send"]

MAX_LISTED_MESSAGES = 100
"""How many messages of an instance are listed at most."""


class MessageOperations:
    """Sends messages to instances, and lists them.

    Args:
        store: The database.
        registry: The loaded workflows.
    """

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    async def send(
        self,
        name: str,
        body: BaseModel | Mapping[str, Any] | None = None,
        *,
        to: int | str | None = None,
        type: str | None = None,
        business_key: str | None = None,
        key: str | None = None,
        expires: datetime | Duration | None = None,
        username: str | None = None,
        connection: Any = None,
    ) -> Sent:
        """Send a message to an instance. If it has one of this name with this key, return that one and send nothing.

        The instance consumes it in the next receive state that waits for its name; if it waits for it now, it is due
        at once. An instance that executes, waits for something else or is paused keeps it. One transaction.

        Args:
            name: The message's name, one of those that the instance's workflow receives.
            body: An object of the message's model, or its values by name; None for an empty object.
            to: The instance: its id as a number, or its external id as a text.
            type: Instead of ``to``, with ``business_key``: the workflow of the instance.
            business_key: The business key that exactly one open instance of that workflow has.
            key: Unique among the messages of this name to this instance; a random one if None.
            expires: When the message is deleted if no activation has read it by then: a time, or a duration from now;
                None for never.
            username: Who sends it; None for code.
            connection: A connection to the same database inside the caller's own transaction, as for ``create``: the
                message is sent when that transaction commits, or not at all. The instance is locked until then.

        Raises:
            ValueError: If neither ``to`` nor both ``type`` and ``business_key`` are given, or all of them; if
                ``expires`` is a time without a time zone.
            UnknownInstanceError: If there is no such instance, or none that is open.
            UnknownWorkflowError: If the instance's workflow is not loaded.
            UnknownMessageError: If its workflow receives no message of this name.
            RefusedError: If the instance has ended, or more than one open instance has the business key.
            VariablesError: If the body does not fit the message's model, or another value cannot be stored.
            DurationError: If ``expires`` is a text that is not a duration.
            StoreUnavailableError: If the database cannot be reached.
            StoreError: If ``connection`` cannot be shared, or has no transaction.
        """
        now = self._store.clock.now()
        address = _build_address(to, type, business_key)
        sender = None if username is None else clean_text(username, MAX_IDENTIFIER_LENGTH)
        _check_values(name, key, resolve_time(expires, now), now)
        new = NewMessage(name, key or str(uuid.uuid4()), sender, now, resolve_time(expires, now))

        def decide(instance: Instance) -> SendDecision:
            return self._decide(instance, new, body)

        async def send(session: DatabaseSession) -> Sent:
            return await send_in_session(session, address, new, has_own_key=key is not None, decide=decide)

        if connection is None:
            return await self._store.connections.write(send)
        async with open_caller_session(connection, self._store.connections.dialect) as session:
            sent = await send(session)
            if session.pending_commit is not None and session.pending_commit.due_groups:
                await session.dialect.signals.notify_all(session.raw, session.pending_commit.due_groups)
            return sent

    async def list_unread(self, id: int) -> list[Message]:
        """Return the messages that an instance has not consumed, the oldest first; at most 100.

        Raises:
            UnknownInstanceError: If there is no such instance.
            StoreUnavailableError: If the database cannot be reached.
        """
        await self._store.queries.get(id)
        return await self._store.messages.list_unread(id, limit=MAX_LISTED_MESSAGES)

    def _decide(self, instance: Instance, new: NewMessage, body: BaseModel | Mapping[str, Any] | None) -> SendDecision:
        """Return what to store for the locked instance."""
        if instance.has_ended:
            reason = f"it has ended as {instance.status}"
            raise RefusedError(f"{describe_instance(instance)} receives no message: {reason}", reason=reason)
        definition = self._registry.get_definition(instance.type)
        message = definition.messages.get(new.name)
        if message is None:
            known = ", ".join(definition.messages) or "none"
            shown = clean_text(new.name, MAX_IDENTIFIER_LENGTH)
            raise UnknownMessageError(
                f"{definition.name} version {definition.version} receives no message {shown!r}."
                f"{format_suggestion(new.name, definition.messages)} It receives: {known}."
            )
        return SendDecision(message.validate_body(body), definition.version, apply_send(instance, definition, new))


def apply_send(instance: Instance, definition: Definition, new: NewMessage) -> Change:
    """Return the change of a send to an instance that has not ended: it is due at once if it waits for this name.

    The version changes only then, so that a running activation can still commit. A paused instance is due when it is
    resumed.

    Args:
        instance: The instance, locked.
        definition: Its definition.
        new: The message.
    """
    action = Action(
        ActionKind.MESSAGE,
        new.sent,
        from_state=instance.state,
        text=f"message {new.name!r}, key {new.key!r}",
        username=new.sender,
        on_behalf_of=get_access().on_behalf_of,
        version=definition.version,
    )
    after = replace(instance, unread=instance.unread + 1, modified_us=new.sent)
    is_paused = instance.status is Status.PAUSED
    status = instance.held_status if is_paused else instance.status
    names = _list_awaited_names(instance, definition)
    if status is not Status.WAITING or not names:
        return Change(instance, after, (action,), keeps_version=True)
    if new.name not in names:
        return Change(instance, replace(after, unread_seen=instance.unread_seen + 1), (action,), keeps_version=True)
    if is_paused:
        after = replace(after, held_status=Status.IN_PROGRESS, next_activation_us=new.sent)
    else:
        after = replace(after, status=Status.IN_PROGRESS, next_activation_us=new.sent)
    return Change(instance, after, (action,))


def _list_awaited_names(instance: Instance, definition: Definition) -> frozenset[str]:
    """Return the names that an instance waits for, or would wait for if it entered its state in this version."""
    wait, state = MessageWait.parse(instance.awaits_json), definition.find_state(instance.state)
    return frozenset(wait.names if wait else ()) | {one.name for one in (state.messages if state else ())}


def _build_address(to: int | str | None, type: str | None, business_key: str | None) -> int | str | BusinessAddress:
    if to is not None and type is None and business_key is None:
        return to
    if to is None and type is not None and business_key is not None:
        return BusinessAddress(type, business_key)
    raise ValueError("a message is sent either to=..., or with both type=... and business_key=...")


def _check_values(name: str, key: str | None, expires: int | None, now: int) -> None:
    faults = find_identifier_faults(name=name, key=key)
    if expires is not None and expires <= now:
        faults["expires"] = "is in the past"
    if faults:
        raise VariablesError("a message", faults)
