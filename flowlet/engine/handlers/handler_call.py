"""The call of a handler: its arguments, and what is read of them again when it has ended."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from flowlet.definition.definition import Definition
from flowlet.definition.kept_names import KeptNames
from flowlet.definition.variables import UNCHANGED, SavedVariables, diff_loaded_variables
from flowlet.definition.versions.migrations import VersionError, migrate_vars
from flowlet.engine.attempt import Attempt
from flowlet.engine.plan import Plan
from flowlet.errors import VariablesError
from flowlet.instance.instance import Instance
from flowlet.instance.json_text import write_json
from flowlet.instance.message import Message
from flowlet.workflow.context import Context

__all__ = ["HandlerCall", "UnreadableError", "fill_answer", "fill_message", "load_vars", "save_vars"]


class UnreadableError(VersionError):
    """This version of the workflow cannot read the variables of an instance, or the answer or message it was given."""


@dataclass(slots=True)
class HandlerCall:
    """The arguments of a handler's call, and those of them that are read again after it.

    Attributes:
        vars: The variables, as the handler was given them.
        vars_json: Their JSON text, after the migrations.
        kept: The names inside of them that the model does not declare.
        context: The context that the handler was given.
        choice: In a manual state, the name of the chosen state.
        message: In a receive state, the message.
        stop_requested: Is set when a plain ``def`` handler is to stop.
    """

    arguments: dict[str, Any]
    vars: Any = None
    vars_json: str = ""
    kept: KeptNames | None = None
    context: Context | None = None
    choice: str | None = None
    message: Message | None = None
    stop_requested: threading.Event | None = None


def load_vars(call: HandlerCall, instance: Instance, definition: Definition, read_vars: Any) -> None:
    """Set the variables of a handler's call, migrated and read.

    Args:
        call: The call.
        instance: The instance, as claimed.
        definition: Its definition.
        read_vars: The variables as the previous transition of the lease has left them, if they need no reading.

    Raises:
        UnreadableError: If this version of the workflow cannot read them.
    """
    call.vars_json = text = instance.vars_json
    try:
        if instance.vars_version != definition.vars_version:
            call.vars_json = text = migrate_vars(definition, text, instance.vars_version)
            read_vars = None
        call.vars = definition.read_vars(text) if read_vars is None else read_vars
    except VariablesError as error:
        raise UnreadableError(f"{definition.name} version {definition.version} cannot read {error}") from error
    except VersionError as error:
        raise UnreadableError(str(error)) from error
    if definition.codec is not None and definition.codec.has_inner_objects:
        call.kept = definition.find_kept_names(text, call.vars)


def save_vars(plan: Plan, attempt: Attempt, call: HandlerCall) -> SavedVariables:
    """Return the variables to store, as the handler left them."""
    definition, context = plan.definition, call.context
    if context is not None:
        if definition.vars is None:
            return diff_loaded_variables(definition, attempt.instance.vars_json, call.vars_json, context.vars)
        if context.vars:
            cure = f"has a model: change the parameter annotated with {definition.vars.__name__}, not ctx.vars"
            raise VariablesError(definition.subject, {"": cure})
    if not plan.reads_vars:
        return UNCHANGED
    return diff_loaded_variables(definition, attempt.instance.vars_json, call.vars_json, call.vars, kept=call.kept)


def fill_answer(plan: Plan, call: HandlerCall, answer: dict[str, Any]) -> str | None:
    """Add the choice and the form of an answer to a handler's call, and return who answered.

    Raises:
        UnreadableError: If this version of the workflow knows no such choice, or cannot read the form.
    """
    definition, choice = plan.definition, answer.get("choice")
    if choice is not None:
        call.choice = definition.resolve(choice)
        if call.choice not in plan.entries:
            edge = f"from {plan.state.name!r} to {choice!r}"
            raise UnreadableError(f"{definition.name} version {definition.version} has no transition {edge}")
    if plan.form_names and plan.state.form_codec is not None:
        try:
            form = plan.state.form_codec.read(write_json(answer.get("form") or {}))
        except VariablesError as error:
            raise UnreadableError(f"{definition.name} version {definition.version} cannot read {error}") from error
        call.arguments.update(dict.fromkeys(plan.form_names, form))
    return answer.get("username")


def fill_message(plan: Plan, call: HandlerCall, message: Message) -> None:
    """Add a message and its body to a handler's call.

    Raises:
        UnreadableError: If this version of the workflow cannot read the body.
    """
    call.message = message
    definition = plan.definition
    try:
        body = plan.messages[message.name].read_body(message.body_json)
    except VariablesError as error:
        raise UnreadableError(f"{definition.name} version {definition.version} cannot read {error}") from error
    except KeyError:
        reason = f"state {plan.state.name!r} does not wait for the message {message.name!r}"
        raise UnreadableError(f"{definition.name} version {definition.version}: {reason}") from None
    call.arguments.update(dict.fromkeys(plan.message_names, body))
