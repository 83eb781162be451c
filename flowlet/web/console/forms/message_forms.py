"""The messages of one workflow: those that it has not consumed, and a form for each that it receives."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from flowlet.accounts.roles import Role
from flowlet.definition.definition import Definition
from flowlet.definition.messages.message_definition import MessageDefinition
from flowlet.instance.instance import Instance
from flowlet.instance.message import Message
from flowlet.web.auth import get_principal
from flowlet.web.console.forms.actions import RejectedForm, build_model_controls
from flowlet.web.console.forms.model_form import FormField, build_fields, format_initial_texts
from flowlet.web.services import get_services

__all__ = ["MESSAGES_SHOWN", "MessageForm", "MessagePanel", "name_form", "read_messages"]

MESSAGES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class MessageForm:
    """A form that sends one message.

    Attributes:
        name: The message's name.
        prefix: Keeps the ids of its fields apart from those of other forms on the page.
        form_id: The key of the message: a form that is sent twice sends one.
        is_open: Whether the page shows it unfolded: the workflow waits for it, or it has faults.
        fields: The fields of the body.
        faults: The faults that belong to no field.
    """

    name: str
    prefix: str
    form_id: str
    is_open: bool
    fields: list[FormField]
    faults: list[str]


@dataclass(frozen=True, slots=True)
class MessagePanel:
    """What the page of a workflow shows of its messages.

    Attributes:
        unread: The oldest messages that it has not consumed.
        forms: A form for each message that its definition receives; none for a viewer, and once it has ended.
    """

    unread: Sequence[Message]
    forms: Sequence[MessageForm]


def name_form(message_name: str) -> str:
    """Return the name under which the form of a message is rejected."""
    return f"message {message_name}"


async def read_messages(
    instance: Instance, definition: Definition | None, rejected_form: RejectedForm | None
) -> MessagePanel:
    """Return the messages of a workflow, and the forms that the user's role and its status permit."""
    unread = []
    if instance.unread:
        unread = await get_services().store.messages.list_unread(instance.id, limit=MESSAGES_SHOWN)
    if definition is None or instance.has_ended or not get_principal().role.is_at_least(Role.OPERATOR):
        return MessagePanel(unread, ())
    awaited = sorted(definition.messages.values(), key=lambda one: one.name not in instance.awaits)
    forms = [_build_form(place, one, instance, rejected_form) for place, one in enumerate(awaited)]
    return MessagePanel(unread, forms)


def _build_form(
    place: int, message: MessageDefinition, instance: Instance, rejected_form: RejectedForm | None
) -> MessageForm:
    controls = build_model_controls(message.model)
    is_rejected = rejected_form is not None and rejected_form.form_name == name_form(message.name)
    shown = rejected_form if is_rejected else None
    texts = format_initial_texts(controls) | (dict(shown.texts) if shown else {})
    fields, faults = build_fields(controls, texts, shown.faults if shown else {})
    is_open = is_rejected or message.name in instance.awaits
    return MessageForm(message.name, f"message-{place}-", str(uuid.uuid4()), is_open, fields, faults)
