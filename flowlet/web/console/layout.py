"""The layout of every page: its template, the logged-in user, and the navigation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jinja2 import StrictUndefined
from quart import Quart, Response, g, render_template, request

from flowlet.accounts.roles import Principal, Role
from flowlet.errors import StoreUnavailableError
from flowlet.instance.instance import Status
from flowlet.store.reports.errors import count_failed
from flowlet.store.reports.inbox import count_waiting
from flowlet.web.auth import SESSION_COOKIE
from flowlet.web.bundled import find_folder
from flowlet.web.console import charts, flash, times, user_agent, values
from flowlet.web.console.flash import Notice
from flowlet.web.console.markup import insert_breaks, render_code, render_prose
from flowlet.web.forms import CSRF_FIELD, compute_csrf_token
from flowlet.web.services import get_services
from flowlet.web.static import get_static_files

__all__ = ["NAVIGATION", "NavigationItem", "PageLayout", "install", "render_page"]


@dataclass(frozen=True, slots=True)
class NavigationItem:
    """An entry of the navigation.

    Attributes:
        href: Its URL. The item is current on this page and all pages below it; the dashboard's only on its own.
        icon: Its icon in ``templates/icons.html``.
        role: The role that a user needs to see it.
        path_prefix: The path of further pages on which it is current.
        counter: Counts what needs a user's attention there, up to 100; shown beside the label unless it is 0. Called
            for each page.
    """

    href: str
    label: str
    icon: str
    role: Role = Role.VIEWER
    path_prefix: str | None = None
    counter: Callable[[], Awaitable[int]] | None = None


async def _count_waiting() -> int:
    return await count_waiting(get_services().store.connections)


async def _count_failed() -> int:
    return await count_failed(get_services().store.connections)


NAVIGATION: tuple[NavigationItem, ...] = (
    NavigationItem("/", "Dashboard", "tiles"),
    NavigationItem("/workflows", "Workflows", "flow"),
    NavigationItem("/inbox", "Inbox", "inbox", counter=_count_waiting),
    NavigationItem("/errors", "Errors", "warning", counter=_count_failed),
    NavigationItem("/definitions", "Definitions", "cube", path_prefix="/start/"),
    NavigationItem("/schedules", "Schedules", "clock"),
    NavigationItem("/executors", "Executors", "server"),
    NavigationItem("/teams", "Teams", "users"),
    NavigationItem("/users", "Users", "user", Role.ADMIN),
    NavigationItem("/keys", "API keys", "key"),
    NavigationItem("/audit", "Audit", "lines", Role.ADMIN),
    NavigationItem("/settings", "Settings", "gear", Role.ADMIN),
    NavigationItem("/docs", "API", "code"),
)
"""The items of the navigation, from top to bottom."""

MAX_COUNT_SHOWN = 99
"""Above this count, an item of the navigation shows "99+"."""

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
"""The colour of each status; its badge also has the word."""


@dataclass(frozen=True, slots=True)
class PageLayout:
    """The data that ``templates/base.html`` shows around a page.

    Attributes:
        principal: The logged-in user; None on pages that need no login.
        token: The CSRF token that the page's forms send.
        path: The page's path.
        now: The current time, in milliseconds since 1970 UTC.
        position: The position of the event stream before the page read its data; the page's stream begins there. Empty
            for a page without a stream.
        counts: The counts of the navigation's items, by URL.
        notice: The result of the form that led to this page.
        is_saved: Whether a form led to this page, and was accepted: its draft in the browser is deleted.
    """

    principal: Principal | None
    token: str
    path: str
    now: int
    position: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    notice: Notice | None = None
    is_saved: bool = False

    @property
    def navigation(self) -> list[NavigationItem]:
        """The items of the navigation that the logged-in user may see."""
        return _list_navigation(self.principal)

    @property
    def initials(self) -> str:
        """One or two letters of the logged-in user's name."""
        words = (self.principal.username if self.principal else "").replace(".", " ").replace("-", " ").split()
        letters = words[0][:2] if len(words) == 1 else "".join(word[0] for word in words[:2])
        return letters.upper()

    def format_count(self, item: NavigationItem) -> str:
        """Return the count of an item as text; "" if it is 0 or the item has no counter."""
        count = self.counts.get(item.href, 0)
        return f"{MAX_COUNT_SHOWN}+" if count > MAX_COUNT_SHOWN else str(count or "")

    def is_current(self, item: NavigationItem) -> bool:
        """Return whether the page is the item's own or below it. No path is below "/": it would begin with "//"."""
        own = (f"{item.href}/", item.path_prefix or f"{item.href}/")
        return self.path == item.href or self.path.startswith(own)


def install(app: Quart) -> None:
    """Register the templates with an application, and the functions and filters that they use."""
    app.before_request(_read_event_position)
    app.template_folder = str(find_folder("templates"))
    app.jinja_options = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    app.jinja_env.globals |= {"static": get_static_files().build_url, "CSRF_FIELD": CSRF_FIELD, "TONES": TONES}
    app.jinja_env.globals |= {
        "ago": times.format_ago,
        "at": times.format_clock,
        "elapsed": times.format_elapsed,
        "duration": times.format_milliseconds,
    }
    app.jinja_env.globals |= {
        "chart": charts.render_chart,
        "share_bar": charts.render_share_bar,
        "sparkline": charts.render_sparkline,
    }
    app.jinja_env.globals |= {"json_view": values.render_json}
    app.jinja_env.filters |= {
        "browser": user_agent.describe_browser,
        "breakable": insert_breaks,
        "inline_code": render_code,
        "prose": render_prose,
    }


async def render_page(
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    is_form_kept: bool = False,
    **values: Any,
) -> Response:
    """Return a page.

    Args:
        template: Its file in ``templates/``.
        status: The HTTP status.
        headers: Further headers, such as ``Retry-After``.
        is_form_kept: Whether a page with status 200 after a form has not saved it yet, such as a preview.
        values: The template's variables.
    """
    layout = await _build_layout(status, is_accepted=status < 400 and not is_form_kept)
    text = await render_template(template, layout=layout, **values)
    answer = Response(text, status, dict(headers or {}), content_type="text/html; charset=utf-8")
    if layout.notice:
        flash.clear_notice(answer)
    return answer


async def _build_layout(status: int, *, is_accepted: bool) -> PageLayout:
    principal: Principal | None = g.get("principal")
    session = request.cookies.get(SESSION_COOKIE, "") if principal and principal.key_id is None else ""
    # If the store is unavailable, the page that reports it must not query the store.
    counts = await _read_counts(principal, is_error=status >= 400) if status < 500 else {}
    token, notice = (compute_csrf_token(session), flash.read_notice()) if session else ("", None)
    position = g.get("event_position", "")
    is_saved = notice.tone == "ok" if notice else request.method == "POST" and is_accepted
    return PageLayout(principal, token, request.path, times.now() // 1000, position, counts, notice, is_saved)


async def _read_counts(principal: Principal | None, *, is_error: bool) -> dict[str, int]:
    """Return the counts beside the entries of the navigation; none on the page of another error, if there is one."""
    try:
        return {entry.href: await entry.counter() for entry in _list_navigation(principal) if entry.counter}
    except StoreUnavailableError:
        if not is_error:
            raise
        return {}


async def _read_event_position() -> None:
    """Read the position of the event stream before the view reads its data: the page then misses no event."""
    if g.get("principal") and SESSION_COOKIE in request.cookies and not request.path.startswith("/api/"):
        g.event_position = str(await get_services().event_broadcaster.read_position())


def _list_navigation(principal: Principal | None) -> list[NavigationItem]:
    return [entry for entry in NAVIGATION if principal and principal.role.is_at_least(entry.role)]
