"""Who asks, and whether they may: an API key or the console's session, and the role that each endpoint declares.

A view says what it needs, ``@needs(Role.OPERATOR)`` or ``@public``. One that says nothing is for admins only, so that
what is forgotten is closed; a test finds it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from quart import Quart, current_app, g, request

from flowlet.accounts.roles import Principal, Role
from flowlet.auth.users import Users
from flowlet.text import find_text_fault
from flowlet.web.problems import Problem, ProblemError, UnauthenticatedError, build_forbidden_error
from flowlet.web.services import get_services

__all__ = [
    "SESSION_COOKIE",
    "allow_anonymous",
    "get_principal",
    "get_required_role",
    "has_declared_access",
    "install_auth",
    "make_access_check",
    "read_api_key",
    "refuse_cross_site",
    "require_role",
    "require_same_origin",
]

SESSION_COOKIE = "flowlet_session"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_REQUIRED_ROLE = "_flowlet_need"
_HOW_TO_AUTHENTICATE = "Send an API key in the header X-API-Key, or as a Bearer token in Authorization."

View = TypeVar("View", bound=Callable[..., Any])


def require_role(role: Role) -> Callable[[View], View]:
    """Let only those in who have the role, or a higher one. Above or below the route's decorator alike."""

    def mark(view: View) -> View:
        setattr(view, _REQUIRED_ROLE, role)
        return view

    return mark


def allow_anonymous(view: View) -> View:
    """Let everybody in, with or without a key."""
    setattr(view, _REQUIRED_ROLE, None)
    return view


def has_declared_access(view: Callable[..., Any]) -> bool:
    """Return whether a view says who may call it."""
    return hasattr(view, _REQUIRED_ROLE)


def get_required_role(view: Callable[..., Any]) -> Role | None:
    """Return the least role that may call a view; None if everybody may."""
    role: Role | None = getattr(view, _REQUIRED_ROLE, Role.ADMIN)
    return role


def get_principal() -> Principal:
    """Return who asks.

    Raises:
        UnauthenticatedError: If nobody has been found out to ask, as in a public view.
    """
    found: Principal | None = g.get("principal")
    if found is None:
        raise UnauthenticatedError(_HOW_TO_AUTHENTICATE)
    return found


def install_auth(app: Quart) -> None:
    """Let an application check every request before its view is called."""
    app.before_request(_authorize_request)


async def _authorize_request() -> None:
    _check_request_text()
    if request.url_rule is None or request.url_rule.endpoint not in current_app.view_functions:
        return  # there is nothing, or not for this method: the answer says so
    role = _get_route_role()
    if role is None:
        return
    found = await _authenticate_request()
    if not found.role.is_at_least(role):
        raise build_forbidden_error(f"This needs the role {role}, and {found.username} has the role {found.role}.")
    g.principal = found


def make_access_check() -> Callable[[], Awaitable[bool]]:
    """Return what tells whether who makes the request at hand would still be let in: for an answer that goes on."""
    users, key, token = get_services().users, read_api_key(), request.cookies.get(SESSION_COOKIE)
    role = _get_route_role()

    async def has_access() -> bool:
        found = await _find_principal(users, key, token)
        return role is None or (found is not None and found.role.is_at_least(role))

    return has_access


def require_same_origin() -> None:
    """Refuse what no page of our own sends: for sessions, on methods that change something.

    Raises:
        ProblemError: 403, if the browser says that another site asks, or nothing says who does.
    """
    refuse_cross_site()
    if request.headers.get("Sec-Fetch-Site") is None and not request.headers.get("Origin"):
        raise build_forbidden_error(
            f"Nothing says that a page of {request.host} sends this. Programs use an API key instead."
        )


def refuse_cross_site() -> None:
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
        raise build_forbidden_error(
            "The request comes from a page of another site. Open the console itself, and repeat it."
        )


def _check_request_text() -> None:
    """Refuse what no database can hold, before it comes to a view."""
    for text in (request.path, *request.args, *request.args.values()):
        if fault := find_text_fault(text):
            raise ProblemError(Problem(400, "unreadable", f"The address {fault}."))


def _get_route_role() -> Role | None:
    """Return the least role that may make the request at hand."""
    return get_required_role(current_app.view_functions[request.url_rule.endpoint]) if request.url_rule else None


async def _authenticate_request() -> Principal:
    """Return who asks."""
    key, token = read_api_key(), request.cookies.get(SESSION_COOKIE)
    found = await _find_principal(get_services().users, key, token)
    if found is None and key is not None:
        raise UnauthenticatedError("The API key is not known, has expired, or was revoked.")
    if found is None:
        raise UnauthenticatedError(
            f"The session is not known, or has ended. {_HOW_TO_AUTHENTICATE}" if token else _HOW_TO_AUTHENTICATE
        )
    if key is None and request.method not in SAFE_METHODS:
        require_same_origin()
    return found


async def _find_principal(users: Users, key: str | None, token: str | None) -> Principal | None:
    """Return whose key or session it is. A key goes before a session: who sends one means it."""
    if key is not None:
        return await users.keys.authenticate_key(key)
    return await users.sessions.authenticate_session(token) if token else None


def read_api_key() -> str | None:
    """Return the key that was sent; an empty header counts as none."""
    if key := request.headers.get("X-API-Key", "").strip():
        return key
    scheme, _, token = request.headers.get("Authorization", "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
