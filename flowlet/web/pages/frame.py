"""The frame of every page: its template, who is logged in, and where the navigation leads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import StrictUndefined
from quart import Quart, Response, g, render_template, request

from flowlet.resources import folder
from flowlet.roles import Principal, Role
from flowlet.web.files import static
from flowlet.web.forms import HIDDEN_FIELD, form_token
from flowlet.web.guards import SESSION_COOKIE
from flowlet.web.pages.prose import breakable, coded, prose

__all__ = ["NAVIGATION", "Entry", "Frame", "install", "page"]


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the navigation.

    Attributes:
        address: Where it leads; it is the current one on every page below too.
        icon: Its sign in ``templates/icons.html``.
        role: Who sees it.
    """

    address: str
    label: str
    icon: str
    role: Role = Role.VIEWER


NAVIGATION: tuple[Entry, ...] = (Entry("/docs", "API", "code"),)
"""What the side of every page leads to."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What ``templates/base.html`` shows around a page.

    Attributes:
        principal: Who is logged in; None on the pages that need no login.
        token: What the page's forms carry.
        path: The page's own.
    """

    principal: Principal | None
    token: str
    path: str

    @property
    def entries(self) -> list[Entry]:
        """What the navigation leads to, for who is logged in."""
        role = self.principal.role if self.principal else None
        return [entry for entry in NAVIGATION if role and role.allows(entry.role)]

    @property
    def initials(self) -> str:
        """One or two letters of who is logged in."""
        words = (self.principal.username if self.principal else "").replace(".", " ").replace("-", " ").split()
        letters = words[0][:2] if len(words) == 1 else "".join(word[0] for word in words[:2])
        return letters.upper()

    def is_current(self, entry: Entry) -> bool:
        """Return whether the page is an entry's, or below it."""
        return self.path == entry.address or self.path.startswith(f"{entry.address}/")


def install(app: Quart) -> None:
    """Let an application find the templates, and let these name static files and their forms' token."""
    app.template_folder = str(folder("templates"))
    app.jinja_options = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    app.jinja_env.globals |= {"static": static().url, "HIDDEN_FIELD": HIDDEN_FIELD}
    app.jinja_env.filters |= {"breakable": breakable, "coded": coded, "prose": prose}


async def page(
    template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
) -> Response:
    """Return a page.

    Args:
        template: Its file in ``templates/``.
        status: The HTTP status.
        headers: Further ones, such as ``Retry-After``.
        values: What the template shows.
    """
    text = await render_template(template, frame=_frame(), **values)
    return Response(text, status, dict(headers or {}), content_type="text/html; charset=utf-8")


def _frame() -> Frame:
    found: Principal | None = g.get("principal")
    session = request.cookies.get(SESSION_COOKIE, "") if found and found.key_id is None else ""
    return Frame(found, form_token(session) if session else "", request.path)
