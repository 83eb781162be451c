"""The page of teams: who answers which questions; admins change them."""

from __future__ import annotations

from quart import Blueprint, Response
from werkzeug.wrappers import Response as Redirection

from flowlet.accounts.roles import Role
from flowlet.errors import NotFoundError, StaleError, UserError
from flowlet.web.auth import get_principal, require_role
from flowlet.web.console.flash import redirect_with_error, redirect_with_success
from flowlet.web.console.forms.actions import read_version
from flowlet.web.console.layout import render_page
from flowlet.web.forms import read_request_form
from flowlet.web.services import get_services

__all__ = ["blueprint"]

blueprint = Blueprint("team_list", __name__)


@blueprint.get("/teams")
@require_role(Role.VIEWER)
async def show_teams() -> Response:
    """Show every team with its members."""
    return await render_page(
        "teams/teams.html",
        teams=await get_services().operations.teams.list_all(),
        may_change=get_principal().role is Role.ADMIN,
    )


@blueprint.post("/teams")
@require_role(Role.ADMIN)
async def set_team() -> Redirection:
    """Create a team, or replace the members of one that still has the version of the form's page."""
    form = await read_request_form()
    name, version = form.get_text("name").strip(), read_version(form, "team")
    members = [name.strip() for name in form.get_text("members").split(",") if name.strip()]
    try:
        await get_services().operations.teams.set_members(
            name, members, username=get_principal().username, expected_version=version
        )
    except StaleError:
        return redirect_with_error(f"The team {name} exists, or was changed meanwhile. Nothing was changed.", "/teams")
    except (UserError, NotFoundError) as error:
        return redirect_with_error(f"{str(error).rstrip('.')}. Nothing was changed.", "/teams")
    return redirect_with_success("Saved.", "/teams")


@blueprint.post("/teams/delete")
@require_role(Role.ADMIN)
async def delete_team() -> Redirection:
    """Delete a team that still has the version of the form's page."""
    form = await read_request_form()
    name, version = form.get_text("name"), read_version(form, "team")
    try:
        await get_services().operations.teams.delete(name, username=get_principal().username, expected_version=version)
    except StaleError:
        return redirect_with_error(f"The team {name} was changed meanwhile. Nothing was deleted.", "/teams")
    except NotFoundError as error:
        return redirect_with_error(f"{error}.", "/teams")
    return redirect_with_success("Deleted.", "/teams")
