"""The API's documentation: a reference page for people, and Swagger UI where it is installed."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

from quart import Blueprint, Response, request

from flowlet.roles import Role
from flowlet.web.files import Files
from flowlet.web.guards import needs
from flowlet.web.openapi import current
from flowlet.web.pages.frame import page
from flowlet.web.pages.reference import reference
from flowlet.web.problems import Problem, ProblemError

__all__ = ["blueprint"]

_MISSING = (
    "Swagger UI is not installed in this server's environment. It comes with the extra 'docs': "
    "pip install 'flowlet-workflows[docs]', and start the server again. The reference at /docs needs none."
)
blueprint = Blueprint("docs", __name__)


@blueprint.get("/docs")
@needs(Role.VIEWER)
async def show() -> Response:
    """Show the reference of the API, with the variables of each workflow."""
    url, has_swagger = request.host_url.rstrip("/"), _swagger() is not None
    return await page("reference/reference.html", reference=reference(current()), url=url, has_swagger=has_swagger)


@blueprint.get("/docs/swagger")
@needs(Role.VIEWER)
async def show_swagger() -> Response:
    """Show Swagger UI on the API's description."""
    return await page("reference/swagger.html", asset=_installed_swagger().url)


@blueprint.get("/docs/swagger/assets/<path:name>")
@needs(Role.VIEWER)
async def swagger_file(name: str) -> Response:
    """Return a file of Swagger UI."""
    return await _installed_swagger().answer(name)


def _installed_swagger() -> Files:
    found = _swagger()
    if found is None:
        raise ProblemError(Problem(404, "not-found", _MISSING))
    return found


def _swagger() -> Files | None:
    """Return the files of Swagger UI, whose package is looked for, and never imported."""
    spec = importlib.util.find_spec("swagger_ui")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "static"
    return _files(folder) if folder.is_dir() else None


@cache
def _files(folder: Path) -> Files:
    return Files(folder, address="/docs/swagger/assets/")
