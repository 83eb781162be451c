"""The web application: its parts put together, and what holds for every answer."""

from __future__ import annotations

from quart import Blueprint, Quart, Response

from flowlet.web import files, guards, health, openapi, problems
from flowlet.web.api import bulk, definitions, events, executors, keys, users, waiting, workflows
from flowlet.web.pages import docs, errors, frame, sessions, workflow
from flowlet.web.services import EXTENSION, Services

__all__ = ["BLUEPRINTS", "HEADERS", "PAGES", "create_app"]

BLUEPRINTS: tuple[Blueprint, ...] = (
    health.blueprint,
    workflows.blueprint,
    waiting.blueprint,
    bulk.blueprint,
    events.blueprint,
    definitions.blueprint,
    executors.blueprint,
    users.blueprint,
    keys.blueprint,
    openapi.blueprint,
)
"""Every part of the API."""

PAGES: tuple[Blueprint, ...] = (files.blueprint, sessions.blueprint, docs.blueprint, workflow.blueprint)
"""What people see in a browser."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""On every answer. Nothing is loaded from another host, and no script or style stands in a page."""


def create_app(services: Services) -> Quart:
    """Return the web application of these services. It opens and closes nothing itself.

    Args:
        services: What its views work with; they get it from ``flowlet.web.services.services()``.
    """
    app = Quart("flowlet.web", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = services.settings.max_body
    app.extensions[EXTENSION] = services
    problems.install(app, errors.tell)
    guards.install(app)
    frame.install(app)
    app.after_request(_add_headers)
    app.after_serving(services.feed.close)
    for blueprint in (*BLUEPRINTS, *PAGES):
        app.register_blueprint(blueprint)
    return app


async def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    # What is answered is about now and about who asks; a page or a file that may be kept says so itself.
    response.headers.setdefault("Cache-Control", "no-store")
    return response
