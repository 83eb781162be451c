"""The settings page for admins: the settings, versions and database of this process."""

from __future__ import annotations

import platform
from importlib import metadata

from quart import Blueprint, Response

from flowlet.accounts.roles import Role
from flowlet.store.reports.system import read_database
from flowlet.web.auth import require_role
from flowlet.web.console.layout import render_page
from flowlet.web.console.pages.retention import list_kept_workflows
from flowlet.web.services import get_services

__all__ = ["blueprint"]

blueprint = Blueprint("settings", __name__)


@blueprint.get("/settings")
@require_role(Role.ADMIN)
async def show_settings() -> Response:
    """Show every setting, with secrets hidden, and how long ended workflows are kept."""
    here = get_services()
    return await render_page(
        "settings/settings.html",
        settings=here.settings.describe_settings(),
        database=await read_database(here.store.connections),
        version=metadata.version("flowlet-workflows"),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        host=platform.node(),
        started=here.started,
        executor_name=here.settings.executor_name if here.executor else "",
        workflows=here.registry.names,
        kept=await list_kept_workflows(),
    )
