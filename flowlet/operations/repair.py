"""The operations that let an instance go on which has failed or waits, or that close its failure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from flowlet.definition.definition import Definition
from flowlet.definition.registry import Registry
from flowlet.definition.snapshot import restore_definition
from flowlet.errors import RefusedError
from flowlet.instance.action import ActionKind
from flowlet.instance.change import Change
from flowlet.instance.instance import Instance, Status
from flowlet.operations.commands import Attribution, Move, build_action, compute_deadline, enter_state
from flowlet.operations.people.entries import with_inbox_entry
from flowlet.operations.permitted import (
    Operation,
    build_refusal,
    describe_instance,
    is_in_final_state,
    require_permitted,
)
from flowlet.store.changes import change_instance, read_origin
from flowlet.store.database_session import DatabaseSession
from flowlet.store.opening import Store
from flowlet.store.optimistic_lock import check_version
from flowlet.text import clean_text

__all__ = ["RepairOperations", "apply_abort", "apply_acknowledge", "apply_retry", "apply_wake"]


class RepairOperations:
    """The operations of ``Operations`` that retry, abort and wake instances, and acknowledge failures.

    Args:
        store: The database.
        registry: The loaded workflows.
    """

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    async def retry(self, id: int, *, username: str, expected_version: int | None = None) -> Instance:
        """Retry a FAILED instance in the state where it failed, or start the next attempt of one that waits for it.

        One that ended in an error state enters the state again that it left for it.

        Raises:
            RefusedError: If no attempt has failed, or the state that the instance left does not exist any more, or
                has no handler.
        """
        stored = await self._read_stored_definition(id)

        def decide(instance: Instance, definition: Definition | None, by: Attribution, origin: str | None) -> Change:
            return apply_retry(instance, definition or stored, by, origin=origin)

        return await self._apply_repair(id, decide, username, expected_version)

    async def wake(self, id: int, *, username: str, expected_version: int | None = None) -> Instance:
        """Run an instance now that waits for a timer, for its next attempt, or for its children.

        Raises:
            RefusedError: If the instance waits for none of these.
        """

        def decide(instance: Instance, definition: Definition | None, by: Attribution, _: str | None) -> Change:
            return apply_wake(instance, definition, by)

        return await self._apply_repair(id, decide, username, expected_version)

    async def abort(
        self, id: int, *, username: str, reason: str | None = None, expected_version: int | None = None
    ) -> Instance:
        """Stop the running attempt of an instance that does not get on, and run the same attempt again.

        The executor that runs it loses the lease, cancels its handler, and writes nothing. A plain function in a thread
        cannot be stopped, and may still have effects.

        Raises:
            RefusedError: If no attempt is running.
        """

        def decide(instance: Instance, definition: Definition | None, by: Attribution, _: str | None) -> Change:
            return apply_abort(instance, definition, by, reason=reason)

        return await self._apply_repair(id, decide, username, expected_version)

    async def acknowledge(
        self, id: int, *, username: str, reason: str, expected_version: int | None = None
    ) -> Instance:
        """Close the failure of an instance that needs no repair: it stays FAILED, and is no longer an open error.

        Args:
            id: The instance.
            username: Who closes it.
            reason: Why; required.
            expected_version: The version that the caller has read; None for any.

        Raises:
            RefusedError: If the instance is not FAILED, its failure is closed already, or there is no reason.
        """

        def decide(instance: Instance, definition: Definition | None, by: Attribution, _: str | None) -> Change:
            return apply_acknowledge(instance, definition, by, reason=reason)

        return await self._apply_repair(id, decide, username, expected_version)

    async def _read_stored_definition(self, id: int) -> Definition | None:
        """Return the newest stored definition of an instance's workflow if that is not loaded; None if it is."""
        instance = await self._store.queries.get(id)
        if self._registry.find_definition(instance.type) is not None:
            return None
        stored = (await self._store.definitions.read_newest()).get(instance.type)
        return restore_definition(stored.document) if stored else None

    async def _apply_repair(
        self,
        id: int,
        decide: Callable[[Instance, Definition | None, Attribution, str | None], Change],
        username: str,
        expected_version: int | None,
    ) -> Instance:
        by = Attribution(username, self._store.clock.now())
        origin: str | None = None

        async def read_before(session: DatabaseSession, instance: Instance) -> None:
            nonlocal origin
            origin = await read_origin(session, instance.id) if instance.has_ended else None

        def check_and_decide(instance: Instance) -> Change:
            check_version(describe_instance(instance), instance.version, expected_version)
            return decide(instance, self._registry.find_definition(instance.type), by, origin)

        return await change_instance(self._store.connections, id, check_and_decide, now=by.at, prepare=read_before)


def apply_retry(
    instance: Instance, definition: Definition | None, attribution: Attribution, *, origin: str | None
) -> Change:
    """Return the change of a retry: the instance is due at once in its current state.

    The attempts of a FAILED instance are counted from zero again. A manual state that failed without an answer waits
    for one again, with a new deadline, if the definition is loaded. An instance in an error state enters the state
    again that it left; no transition leads there, and so the history records a forced move.

    Args:
        instance: The instance.
        definition: Its definition, or the newest stored one if it is not loaded; None if there is none.
        attribution: Who retries it, and when.
        origin: The state that the instance left when it entered its present one; None if it was created there.

    Raises:
        RefusedError: If no attempt has failed, or the state that the instance left cannot be entered again.
    """
    require_permitted(Operation.RETRY, instance, definition, now=attribution.at)
    if definition and is_in_final_state(instance, definition):
        return _return_to_origin(instance, definition, attribution, origin)
    action = build_action(ActionKind.RETRIED, instance, attribution)
    after = replace(
        instance,
        status=Status.IN_PROGRESS,
        gate=None,
        next_activation_us=attribution.at,
        wake_at_open_children=None,
        modified_us=attribution.at,
    )
    if instance.status == Status.IN_PROGRESS:
        return Change(instance, after, (action,))
    state = definition.find_state(instance.state) if definition else None
    if state and state.is_manual and instance.answer_json is None:
        after = replace(after, status=Status.WAITING, next_activation_us=compute_deadline(state, attribution))
    after = replace(after, attempt=0, streak=0, crashes=0, reason=None, ended_us=None, fingerprint=None, failed_us=None)
    after = replace(after, awaits_json=None)  # in a receive state that has no message, the deadline counts from now
    return with_inbox_entry(Change(instance, after, (action,)), definition)


def _return_to_origin(
    instance: Instance, definition: Definition, attribution: Attribution, origin: str | None
) -> Change:
    state = definition.find_state(origin) if origin is not None else None
    if state is None or state.is_final:
        raise build_refusal(Operation.RETRY, instance, "it did not come from a state that can be entered again", [])
    text = f"Retried from the state that it left for {instance.state}."
    action = build_action(
        ActionKind.FORCED, instance, attribution, to_state=state.name, text=text, version=definition.version
    )
    after = enter_state(instance, state, Move(state.name, None, is_forced=False, reason=None), attribution)
    return with_inbox_entry(Change(instance, after, (action,)), definition)


def apply_abort(
    instance: Instance, definition: Definition | None, attribution: Attribution, *, reason: str | None
) -> Change:
    """Return the change of an abort: the lease is revoked, and the instance is due at once, or paused if requested.

    The attempt does not count as failed: it has the same number and the same idempotency key when it runs again.

    Raises:
        RefusedError: If no attempt is running.
    """
    require_permitted(Operation.ABORT, instance, definition, now=attribution.at)
    text = f"The running attempt was aborted{f': {clean_text(reason)}' if reason and reason.strip() else '.'}"
    is_pausing = instance.pause_requested
    after = replace(
        instance,
        status=Status.PAUSED if is_pausing else Status.IN_PROGRESS,
        held_status=Status.IN_PROGRESS if is_pausing else None,
        pause_requested=False,
        executor_id=None,
        token=instance.token + 1,
        gate=None,
        next_activation_us=attribution.at,
        crashes=min(instance.crashes, 1),  # a crash is counted in advance, and its executor has not died
        modified_us=attribution.at,
    )
    return Change(instance, after, (build_action(ActionKind.RETRIED, instance, attribution, text=text),))


def apply_wake(instance: Instance, definition: Definition | None, attribution: Attribution) -> Change:
    """Return the change of "run now": the instance is due at once and waits neither for its timer nor its children.

    One that waits for another version of its workflow is tried again by all executors.

    Raises:
        RefusedError: If the instance waits for none of these.
    """
    require_permitted(Operation.WAKE, instance, definition, now=attribution.at)
    after = replace(
        instance,
        gate=None,
        next_activation_us=attribution.at,
        wake_at_open_children=None,
        modified_us=attribution.at,
    )
    return Change(instance, after, (build_action(ActionKind.WOKEN, instance, attribution),))


def apply_acknowledge(
    instance: Instance, definition: Definition | None, attribution: Attribution, *, reason: str
) -> Change:
    """Return the change that closes a failure: it leaves the groups of errors and the counts of open failures.

    Raises:
        RefusedError: If the instance is not FAILED, its failure is closed already, or there is no reason.
    """
    require_permitted(Operation.ACKNOWLEDGE, instance, definition, now=attribution.at)
    if not reason.strip():
        raise RefusedError("closing a failure needs a reason: it is recorded in the history")
    action = build_action(ActionKind.ACKNOWLEDGED, instance, attribution, text=clean_text(reason))
    after = replace(instance, fingerprint=None, failed_us=None, modified_us=attribution.at)
    return Change(instance, after, (action,))
