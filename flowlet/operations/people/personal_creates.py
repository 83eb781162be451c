"""Instances that a person creates: recorded in the audit, in the transaction that creates them."""

from __future__ import annotations

from flowlet.accounts.access import get_access
from flowlet.accounts.audit import AuditAction, AuditEntry
from flowlet.instance.new_instance import Created, NewInstance
from flowlet.store.commits import Commit
from flowlet.store.database_session import DatabaseSession
from flowlet.store.opening import Store
from flowlet.store.people.audit import write_audit
from flowlet.store.people.creations import record_creator

__all__ = ["create_for_person", "is_personal"]


def is_personal(new: NewInstance) -> bool:
    """Return whether a person creates an instance.

    What a program creates for itself is not recorded in the audit: it may be thousands in a second, and the first line
    of each history names the key's owner.
    """
    return new.username is not None and get_access().is_personal


async def create_for_person(store: Store, new: NewInstance) -> Created:
    """Create an instance, and record it if it is new; a known external id gives the known instance. One transaction.

    Raises:
        StoreUnavailableError: If the database is unavailable.
        TooLargeError: If the database does not accept an instance of this size.
    """
    now = store.clock.now()

    async def create(session: DatabaseSession) -> Created:
        (created,) = await store.instances.create_in_transaction(session, [new], now=now)
        if created.is_new:
            if (person := get_access().on_behalf_of) is not None:
                await record_creator(session, created.id, person)
            entry = AuditEntry(new.username or "", AuditAction.WORKFLOW_CREATED, str(created.id), new.type)
            await write_audit(session, [entry], now=now)
        session.pending_commit = Commit(frozenset({new.group}), (), is_notified=True)
        return created

    return await store.connections.write(create)
