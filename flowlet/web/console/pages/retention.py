"""The page on which an admin deletes at once what ended longer ago than it is kept."""

from __future__ import annotations

from quart import Blueprint, Response
from werkzeug.wrappers import Response as Redirection

from flowlet.accounts.roles import Role
from flowlet.operations.retention import KeptWorkflow, PruneRequest, describe_rule, preview_prune
from flowlet.web.api.retention import prune_for_seconds
from flowlet.web.auth import require_role
from flowlet.web.console.flash import redirect_with_success
from flowlet.web.console.layout import render_page
from flowlet.web.forms import read_request_form
from flowlet.web.services import get_services

__all__ = ["blueprint", "list_kept_workflows"]

blueprint = Blueprint("retention_page", __name__)


@blueprint.get("/settings/prune")
@require_role(Role.ADMIN)
async def show_prune_preview() -> Response:
    """Show how much would be deleted, and ask for a confirmation."""
    kept = [one for one, _ in await list_kept_workflows() if one.prunable_trees]
    return await render_page("settings/prune.html", kept=kept)


@blueprint.post("/settings/prune")
@require_role(Role.ADMIN)
async def prune_now() -> Redirection:
    """Delete for at most three seconds, and show what is left."""
    await read_request_form()
    deleted, is_complete = await prune_for_seconds(PruneRequest())
    number = f"{deleted.instances:,} workflow{' was' if deleted.instances == 1 else 's were'} deleted."
    if is_complete:
        return redirect_with_success(number, "/settings")
    return redirect_with_success(f"{number} There are more: delete again.", "/settings/prune")


async def list_kept_workflows() -> list[tuple[KeptWorkflow, str]]:
    """Return how long the instances of each workflow are kept, with the rule in words."""
    here = get_services()
    keep = here.settings.get_executor_settings().keep
    found = await preview_prune(here.store, here.registry.definitions, PruneRequest(), default=keep)
    return [(kept, describe_rule(kept.rule)) for kept in found]
