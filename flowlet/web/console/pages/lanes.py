"""The forms that pause and resume a workflow, of a definition's page, or an executor group, of the executors' page."""

from __future__ import annotations

from quart import Blueprint
from werkzeug.wrappers import Response as Redirection

from flowlet.accounts.roles import Role
from flowlet.errors import RefusedError, UnknownWorkflowError
from flowlet.store.limits.table import LaneKind
from flowlet.web.auth import get_principal, require_role
from flowlet.web.console.definition_rows import build_definition_url
from flowlet.web.console.flash import redirect_with_error, redirect_with_success
from flowlet.web.forms import read_request_form
from flowlet.web.services import get_services

__all__ = ["blueprint"]

blueprint = Blueprint("lane_forms", __name__)


@blueprint.post("/lanes/pause")
@require_role(Role.OPERATOR)
async def pause_lane() -> Redirection:
    """Pause a workflow or a group: no executor claims from it until it is resumed."""
    form = await read_request_form()
    kind, name = _read_kind(form.get_text("kind")), form.get_text("name").strip()
    try:
        if not name:
            raise RefusedError("the name of the group is missing")
        await get_services().operations.lanes.pause(
            kind, name, username=get_principal().username, reason=form.get_text("reason")
        )
    except (RefusedError, UnknownWorkflowError) as error:
        return redirect_with_error(f"Not paused: {error}.", _build_url(kind, name))
    return redirect_with_success("Paused. Running attempts finish, nothing else begins.", _build_url(kind, name))


@blueprint.post("/lanes/resume")
@require_role(Role.OPERATOR)
async def resume_lane() -> Redirection:
    """Resume a workflow or a group."""
    form = await read_request_form()
    kind, name = _read_kind(form.get_text("kind")), form.get_text("name")
    try:
        await get_services().operations.lanes.resume(kind, name, username=get_principal().username)
    except RefusedError as error:
        return redirect_with_error(f"Not resumed: {error}.", _build_url(kind, name))
    return redirect_with_success("Resumed.", _build_url(kind, name))


def _read_kind(text: str) -> LaneKind:
    return LaneKind.WORKFLOW if text == LaneKind.WORKFLOW else LaneKind.GROUP


def _build_url(kind: LaneKind, name: str) -> str:
    return build_definition_url(name) if kind is LaneKind.WORKFLOW and name else "/executors"
