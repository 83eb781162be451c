"""The context of an activation, with the present names of states: its handler is code of the version that runs it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn

from flowlet.clock import Clock
from flowlet.definition.definition import Definition
from flowlet.definition.versions.migrations import migrate_vars
from flowlet.engine.attempt import Attempt
from flowlet.engine.handlers.handler_call import HandlerCall
from flowlet.engine.plan import Plan
from flowlet.errors import UnknownWorkflowError
from flowlet.instance.instance import Instance
from flowlet.instance.message import Message
from flowlet.workflow.context import Context, Failure, Relatives, TransactionSource

__all__ = ["ActivationInputs", "ContextBuilder", "refuse_transaction"]


class ActivationInputs(NamedTuple):
    """What an activation has been given besides its instance; as ``ActivationRunner.run`` says."""

    relatives: Relatives
    transaction: TransactionSource
    read_vars: Any
    failure: Failure | None
    message: Message | None


class ContextBuilder:
    """Builds the contexts that handlers receive.

    Args:
        find_definition: Returns a definition by its name, or raises ``UnknownWorkflowError``.
        clock: The clock of the context.
    """

    def __init__(self, find_definition: Callable[[str], Definition], clock: Clock) -> None:
        self._find_definition = find_definition
        self._clock = clock

    def build(self, plan: Plan, attempt: Attempt, inputs: ActivationInputs, call: HandlerCall) -> Context:
        """Return the context of one activation."""
        instance, present_names = attempt.instance, plan.definition.present_names
        relatives, failure = inputs.relatives, inputs.failure
        if relatives.children or relatives.parent is not None:
            relatives = self._name_relatives(relatives)
        if failure is not None and failure.state in present_names:
            failure = replace(failure, state=present_names[failure.state])
        if not plan.is_async:
            call.stop_requested = threading.Event()
        return Context(
            workflow=instance if instance.state == plan.state.name else replace(instance, state=plan.state.name),
            vars=call.vars if plan.definition.vars is None else {},
            attempt=attempt.number,
            # An external id has one instance, and a visit is entered once: no other activation has this key.
            idempotency_key=f"{instance.external_id}/{instance.visit}",
            choice=call.choice,
            username=attempt.username,
            error=failure,
            message=call.message,
            _clock=self._clock,
            _read_vars=self._read_vars,
            _transaction=inputs.transaction if plan.is_async else refuse_transaction,
            _relatives=relatives,
            _log_lines=attempt.lines,
            _stop_requested=call.stop_requested,
        )

    def _read_vars(self, instance: Instance) -> Any:
        """Return the variables of a relative, migrated, by its workflow's model."""
        definition = self._find_definition(instance.type)
        text = instance.vars_json
        if instance.vars_version != definition.vars_version:
            text = migrate_vars(definition, text, instance.vars_version)
        return definition.read_vars(text)

    def _name_relatives(self, relatives: Relatives) -> Relatives:
        children, parent = relatives.children, relatives.parent
        return relatives._replace(
            children=None if children is None else tuple(map(self._name_state, children)),
            parent=None if parent is None else self._name_state(parent),
        )

    def _name_state(self, instance: Instance) -> Instance:
        """Return an instance whose state has its present name; unchanged if its workflow is not loaded here."""
        try:
            name = self._find_definition(instance.type).resolve(instance.state)
        except UnknownWorkflowError:
            return instance
        return instance if name == instance.state else replace(instance, state=name)


def refuse_transaction(open_connection: object = None) -> NoReturn:
    """Refuse the transaction of a plain ``def`` handler; one without a context cannot ask for it.

    Raises:
        RuntimeError: Always.
    """
    raise RuntimeError(
        "ctx.transaction() belongs to the event loop, and a plain def handler runs in a thread: write it as async def"
    )
