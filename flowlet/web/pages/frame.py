"""The frame of every page: its template, who is logged in, and where the navigation leads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jinja2 import StrictUndefined
from quart import Quart, Response, g, render_template, request

from flowlet.instances import Status
from flowlet.resources import folder
from flowlet.roles import Principal, Role
from flowlet.store.reports.errors import failed_count
from flowlet.store.reports.inbox import count_waiting
from flowlet.web.files import static
from flowlet.web.forms import HIDDEN_FIELD, form_token
from flowlet.web.guards import SESSION_COOKIE
from flowlet.web.pages import browsers, charts, notices, times, values
from flowlet.web.pages.notices import Notice
from flowlet.web.pages.prose import breakable, coded, prose
from flowlet.web.services import services

__all__ = ["NAVIGATION", "Entry", "Frame", "install", "page"]


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the navigation.

    Attributes:
        address: Where it leads; it is the current one on every page below too, but the start on no other.
        icon: Its sign in ``templates/icons.html``.
        role: Who sees it.
        below: Where others of its pages are.
        count: Counts what waits there for somebody, up to 100; shown beside the label unless it is 0. Asked for on each
            page.
    """

    address: str
    label: str
    icon: str
    role: Role = Role.VIEWER
    below: str | None = None
    count: Callable[[], Awaitable[int]] | None = None


async def _count_waiting() -> int:
    return await count_waiting(services().store.connections)


async def _failed() -> int:
    return await failed_count(services().store.connections)


NAVIGATION: tuple[Entry, ...] = (
    Entry("/", "Dashboard", "tiles"),
    Entry("/workflows", "Workflows", "flow"),
    Entry("/inbox", "Inbox", "inbox", count=_count_waiting),
    Entry("/errors", "Errors", "warning", count=_failed),
    Entry("/definitions", "Definitions", "cube", below="/start/"),
    Entry("/executors", "Executors", "server"),
    Entry("/users", "Users", "user", Role.ADMIN),
    Entry("/keys", "API keys", "key"),
    Entry("/settings", "Settings", "gear", Role.ADMIN),
    Entry("/docs", "API", "code"),
)
"""What the side of every page leads to."""

MOST_COUNTED = 99
"""Beyond, an entry of the navigation says "99+"."""

TONES = {
    Status.NEW: "idle",
    Status.EXECUTING: "info",
    Status.IN_PROGRESS: "accent",
    Status.WAITING: "warn",
    Status.PAUSED: "idle",
    Status.FINISHED: "ok",
    Status.FAILED: "err",
    Status.CANCELLED: "idle",
}
"""The colour of each status; its badge says it in words, too."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What ``templates/base.html`` shows around a page.

    Attributes:
        principal: Who is logged in; None on the pages that need no login.
        token: What the page's forms carry.
        path: The page's own.
        now: The present, in milliseconds since 1970 UTC.
        counts: How much waits at an entry of the navigation, by its address.
        notice: What was done on the page before.
    """

    principal: Principal | None
    token: str
    path: str
    now: int
    counts: Mapping[str, int] = field(default_factory=dict)
    notice: Notice | None = None

    @property
    def entries(self) -> list[Entry]:
        """What the navigation leads to, for who is logged in."""
        return _entries(self.principal)

    @property
    def initials(self) -> str:
        """One or two letters of who is logged in."""
        words = (self.principal.username if self.principal else "").replace(".", " ").replace("-", " ").split()
        letters = words[0][:2] if len(words) == 1 else "".join(word[0] for word in words[:2])
        return letters.upper()

    def count(self, entry: Entry) -> str:
        """Return how much waits at an entry; "" where there is nothing, or nothing is counted."""
        count = self.counts.get(entry.address, 0)
        return f"{MOST_COUNTED}+" if count > MOST_COUNTED else str(count or "")

    def is_current(self, entry: Entry) -> bool:
        """Return whether the page is an entry's, or below it; below "/" would be "//"."""
        own = (f"{entry.address}/", entry.below or f"{entry.address}/")
        return self.path == entry.address or self.path.startswith(own)


def install(app: Quart) -> None:
    """Let an application find the templates, and let these name static files and their forms' token."""
    app.template_folder = str(folder("templates"))
    app.jinja_options = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    app.jinja_env.globals |= {"static": static().url, "HIDDEN_FIELD": HIDDEN_FIELD, "TONES": TONES}
    app.jinja_env.globals |= {"ago": times.ago, "at": times.at, "for_": times.for_, "took": times.took}
    app.jinja_env.globals |= {"chart": charts.chart, "shares": charts.shares, "sparkline": charts.sparkline}
    app.jinja_env.globals |= {"json_view": values.json_view, "pretty": values.pretty}
    app.jinja_env.filters |= {"browser": browsers.called, "breakable": breakable, "coded": coded, "prose": prose}


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
    frame = await _frame(with_counts=status < 500)
    text = await render_template(template, frame=frame, **values)
    answer = Response(text, status, dict(headers or {}), content_type="text/html; charset=utf-8")
    if frame.notice:
        notices.forget(answer)
    return answer


async def _frame(*, with_counts: bool) -> Frame:
    found: Principal | None = g.get("principal")
    session = request.cookies.get(SESSION_COOKIE, "") if found and found.key_id is None else ""
    # Where the store is away, the page that says so asks it nothing.
    counted = [entry for entry in _entries(found) if entry.count] if with_counts else []
    counts = {entry.address: await entry.count() for entry in counted if entry.count}
    token, told = (form_token(session), notices.notice()) if session else ("", None)
    return Frame(found, token, request.path, times.now() // 1000, counts, told)


def _entries(principal: Principal | None) -> list[Entry]:
    return [entry for entry in NAVIGATION if principal and principal.role.allows(entry.role)]
