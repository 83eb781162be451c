"""The API documentation: a reference page, and Swagger UI if it is installed."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

from quart import Blueprint, Response

from flowlet.accounts.roles import Role
from flowlet.web.auth import require_role
from flowlet.web.console.docs.reference import build_reference
from flowlet.web.console.layout import render_page
from flowlet.web.embedding.prefix import get_base_url
from flowlet.web.openapi.document import build_current_document
from flowlet.web.problems import Problem, ProblemError
from flowlet.web.static import StaticFiles

__all__ = ["blueprint"]

_SWAGGER_MISSING = (
    "Swagger UI is not installed on this server. Install the extra 'docs' (pip install 'flowlet-workflows[docs]') "
    "and restart the server. The reference at /docs works without it."
)
blueprint = Blueprint("docs", __name__)


@blueprint.get("/docs")
@require_role(Role.VIEWER)
async def show_reference() -> Response:
    """Show the API reference, with the variables of each workflow."""
    url, has_swagger = get_base_url(), _find_swagger() is not None
    return await render_page(
        "docs/reference.html",
        reference=build_reference(build_current_document()),
        url=url,
        has_swagger=has_swagger,
    )


@blueprint.get("/docs/swagger")
@require_role(Role.VIEWER)
async def show_swagger() -> Response:
    """Show Swagger UI for the OpenAPI document."""
    return await render_page("docs/swagger.html", asset=_require_swagger().build_url)


@blueprint.get("/docs/swagger/assets/<path:name>")
@require_role(Role.VIEWER)
async def send_swagger_file(name: str) -> Response:
    """Return a file of Swagger UI."""
    return await _require_swagger().serve_file(name)


def _require_swagger() -> StaticFiles:
    found = _find_swagger()
    if found is None:
        raise ProblemError(Problem(404, "not-found", _SWAGGER_MISSING))
    return found


def _find_swagger() -> StaticFiles | None:
    """Return the files of Swagger UI; None if it is not installed. Its package is located, but never imported."""
    spec = importlib.util.find_spec("swagger_ui")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "static"
    return _build_files(folder) if folder.is_dir() else None


@cache
def _build_files(folder: Path) -> StaticFiles:
    return StaticFiles(folder, url_prefix="/docs/swagger/assets/")
