"""Who asks, and whether they may: an API key or the console's session, and the role that each endpoint declares.

A view says what it needs, ``@needs(Role.OPERATOR)`` or ``@public``. One that says nothing is for admins only, so that
what is forgotten is closed; a test finds it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from quart import Quart, current_app, g, request

from flowlet.roles import Principal, Role
from flowlet.users import Users
from flowlet.web.problems import Problem, ProblemError, UnauthenticatedError, forbidden
from flowlet.web.services import services

__all__ = [
    "SESSION_COOKIE",
    "check_origin",
    "declared",
    "install",
    "lasting",
    "needed",
    "needs",
    "principal",
    "public",
    "refuse_other_sites",
    "sent_key",
]

SESSION_COOKIE = "flowlet_session"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_NEED = "_flowlet_need"
_HOW = "Send an API key in the header X-API-Key, or as a Bearer token in Authorization."

View = TypeVar("View", bound=Callable[..., Any])


def needs(role: Role) -> Callable[[View], View]:
    """Let only those in who have the role, or a higher one. Above or below the route's decorator alike."""

    def mark(view: View) -> View:
        setattr(view, _NEED, role)
        return view

    return mark


def public(view: View) -> View:
    """Let everybody in, with or without a key."""
    setattr(view, _NEED, None)
    return view


def declared(view: Callable[..., Any]) -> bool:
    """Return whether a view says who may call it."""
    return hasattr(view, _NEED)


def needed(view: Callable[..., Any]) -> Role | None:
    """Return the least role that may call a view; None if everybody may."""
    role: Role | None = getattr(view, _NEED, Role.ADMIN)
    return role


def principal() -> Principal:
    """Return who asks.

    Raises:
        UnauthenticatedError: If nobody has been found out to ask, as in a public view.
    """
    found: Principal | None = g.get("principal")
    if found is None:
        raise UnauthenticatedError(_HOW)
    return found


def install(app: Quart) -> None:
    """Let an application check every request before its view is called."""
    app.before_request(_check)


async def _check() -> None:
    _check_text()
    if request.url_rule is None or request.url_rule.endpoint not in current_app.view_functions:
        return  # there is nothing, or not for this method: the answer says so
    role = _role()
    if role is None:
        return
    found = await _principal()
    if not found.role.allows(role):
        raise forbidden(f"This needs the role {role}, and {found.username} has the role {found.role}.")
    g.principal = found


def lasting() -> Callable[[], Awaitable[bool]]:
    """Return what tells whether who makes the request at hand would still be let in: for an answer that goes on."""
    users, key, token = services().users, sent_key(), request.cookies.get(SESSION_COOKIE)
    role = _role()

    async def lasts() -> bool:
        found = await _recognised(users, key, token)
        return role is None or (found is not None and found.role.allows(role))

    return lasts


def check_origin() -> None:
    """Refuse what no page of our own sends: for sessions, on methods that change something.

    Raises:
        ProblemError: 403, if the browser says that another site asks, or nothing says who does.
    """
    refuse_other_sites()
    if request.headers.get("Sec-Fetch-Site") is None and not request.headers.get("Origin"):
        raise forbidden(f"Nothing says that a page of {request.host} sends this. Programs use an API key instead.")


def refuse_other_sites() -> None:
    """Refuse what another site's page lets a browser send. Programs, which say nothing of sites, may go on.

    Raises:
        ProblemError: 403, if the browser says that another site asks.
    """
    fetched_from = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin", "")
    if fetched_from is not None:
        is_ours = fetched_from == "same-origin"
    else:
        # The host only: behind a proxy that ends TLS the scheme that we see is not the browser's.
        # The host of a request is empty where its header makes no sense.
        is_ours = not origin or (bool(request.host) and origin.partition("://")[2] == request.host)
    if not is_ours:
        raise forbidden("The request comes from a page of another site. Open the console itself, and repeat it.")


def _check_text() -> None:
    """Refuse what no database can hold, before it comes to a view."""
    if any("\x00" in text for text in (request.path, *request.args, *request.args.values())):
        detail = "The address has a NUL character, which nothing here can hold."
        raise ProblemError(Problem(400, "unreadable", detail))


def _role() -> Role | None:
    """Return the least role that may make the request at hand."""
    return needed(current_app.view_functions[request.url_rule.endpoint]) if request.url_rule else None


async def _principal() -> Principal:
    """Return who asks."""
    key, token = sent_key(), request.cookies.get(SESSION_COOKIE)
    found = await _recognised(services().users, key, token)
    if found is None and key is not None:
        raise UnauthenticatedError("The API key is not known, has expired, or was revoked.")
    if found is None:
        raise UnauthenticatedError(f"The session is not known, or has ended. {_HOW}" if token else _HOW)
    if key is None and request.method not in SAFE_METHODS:
        check_origin()
    return found


async def _recognised(users: Users, key: str | None, token: str | None) -> Principal | None:
    """Return whose key or session it is. A key goes before a session: who sends one means it."""
    if key is not None:
        return await users.keys.key(key)
    return await users.sessions.session(token) if token else None


def sent_key() -> str | None:
    """Return the key that was sent; an empty header counts as none."""
    if key := request.headers.get("X-API-Key", "").strip():
        return key
    scheme, _, token = request.headers.get("Authorization", "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
