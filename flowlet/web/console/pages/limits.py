"""The forms of a definition's page that hold and release its limits."""

from __future__ import annotations

from quart import Blueprint
from werkzeug.wrappers import Response as Redirection

from flowlet.accounts.roles import Role
from flowlet.errors import DurationError, RefusedError, UnknownLimitError
from flowlet.web.auth import get_principal, require_role
from flowlet.web.console.definition_rows import build_definition_url
from flowlet.web.console.flash import redirect_with_error, redirect_with_success
from flowlet.web.forms import read_request_form
from flowlet.web.services import get_services

__all__ = ["blueprint"]

blueprint = Blueprint("limit_forms", __name__)


@blueprint.post("/limits/hold")
@require_role(Role.OPERATOR)
async def hold_limit() -> Redirection:
    """Hold a limit: no attempt begins until it is released."""
    form = await read_request_form()
    workflow, state = form.get_text("workflow"), form.get_text("state") or None
    try:
        await get_services().operations.limits.hold(
            workflow, state, username=get_principal().username, reason=form.get_text("reason")
        )
    except (RefusedError, UnknownLimitError) as error:
        return redirect_with_error(f"Not held: {error}.", build_definition_url(workflow))
    return redirect_with_success("Held. Running attempts finish, no other one begins.", build_definition_url(workflow))


@blueprint.post("/limits/release")
@require_role(Role.OPERATOR)
async def release_limit() -> Redirection:
    """Release a limit that a user or a breaker holds; with an interval, what waits begins one after another."""
    form = await read_request_form()
    workflow, state = form.get_text("workflow"), form.get_text("state") or None
    try:
        await get_services().operations.limits.release(
            workflow, state, username=get_principal().username, interval=form.get_text("interval") or None
        )
    except (DurationError, RefusedError, UnknownLimitError) as error:
        return redirect_with_error(f"Not released: {str(error).rstrip('.')}.", build_definition_url(workflow))
    return redirect_with_success("Released.", build_definition_url(workflow))
