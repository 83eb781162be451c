"""The form of a workflow's page that sends a message."""

from __future__ import annotations

from quart import Blueprint, Response
from werkzeug.wrappers import Response as Redirection

from flowlet.accounts.roles import Role
from flowlet.errors import RefusedError, UnknownMessageError, UnknownWorkflowError, VariablesError
from flowlet.web.auth import get_principal, require_role
from flowlet.web.console.flash import redirect_with_error, redirect_with_success
from flowlet.web.console.forms.actions import RejectedForm, build_model_controls, raise_for_faults
from flowlet.web.console.forms.message_forms import name_form
from flowlet.web.console.forms.model_form import read_submission
from flowlet.web.console.pages.workflow import TABS, render_workflow
from flowlet.web.forms import read_request_form
from flowlet.web.services import get_services

__all__ = ["blueprint"]

blueprint = Blueprint("message_pages", __name__)


@blueprint.post("/workflows/<id>/messages/<name>")
@require_role(Role.OPERATOR)
async def send_message(id: str, name: str) -> Response | Redirection:
    """Send a message to a workflow."""
    here, given = get_services(), await read_request_form()
    instance = await here.store.queries.find(id)
    url = f"/workflows/{instance.id}"
    try:
        message = here.registry.get_definition(instance.type).messages.get(name)
    except UnknownWorkflowError as error:
        return redirect_with_error(str(error), url)
    sent = read_submission(build_model_controls(message.model) if message else (), given)
    try:
        raise_for_faults(sent)
        result = await here.operations.send(
            name,
            sent.values,
            to=instance.id,
            key=given.get_text("form_id").strip() or None,
            username=get_principal().username,
        )
    except VariablesError as error:
        rejected = RejectedForm(name_form(name), error.faults, sent.texts, instance.version)
        return await render_workflow(instance, TABS[0], rejected_form=rejected)
    except (RefusedError, UnknownMessageError) as error:
        return redirect_with_error(str(error), url)
    return redirect_with_success(f"Sent {name}." if result.is_new else f"Nothing sent: {name} was sent before.", url)
