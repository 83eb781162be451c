"""Authentication by API key or session, and authorization by the role that each view declares.

A view declares its access with ``@require_role(Role.OPERATOR)`` or ``@allow_anonymous``. A view without a declaration
is for admins only, so that a forgotten one is closed; a test finds it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from quart import Quart, current_app, g, request
from werkzeug.exceptions import NotFound

from flowlet.accounts.access import set_access
from flowlet.accounts.roles import Principal, Role
from flowlet.auth.users import Users
from flowlet.text import find_text_fault
from flowlet.web.hosts import check_host
from flowlet.web.people.on_behalf import build_access, find_represented_principal, read_header
from flowlet.web.problems import Problem, ProblemError, UnauthenticatedError, build_forbidden_error
from flowlet.web.services import get_services

__all__ = [
    "REAUTHORIZATION_SECONDS",
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
REAUTHORIZATION_SECONDS = 5.0
"""How often the authorization of a request that waits or streams is checked again."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_REQUIRED_ROLE = "_flowlet_need"
_HOW_TO_AUTHENTICATE = "Send an API key in the header X-API-Key, or as a Bearer token in Authorization."

View = TypeVar("View", bound=Callable[..., Any])


def require_role(role: Role) -> Callable[[View], View]:
    """Restrict a view to users with the role, or a higher one. It works above and below the route's decorator."""

    def mark(view: View) -> View:
        setattr(view, _REQUIRED_ROLE, role)
        return view

    return mark


def allow_anonymous(view: View) -> View:
    """Open a view to all, with or without a key."""
    setattr(view, _REQUIRED_ROLE, None)
    return view


def has_declared_access(view: Callable[..., Any]) -> bool:
    """Return whether a view declares its access."""
    return hasattr(view, _REQUIRED_ROLE)


def get_required_role(view: Callable[..., Any]) -> Role | None:
    """Return the lowest role that may call a view; None if it is open to all."""
    role: Role | None = getattr(view, _REQUIRED_ROLE, Role.ADMIN)
    return role


def get_principal() -> Principal:
    """Return the user of the current request.

    Raises:
        UnauthenticatedError: If the request was not authenticated, as in a view that is open to all.
    """
    found: Principal | None = g.get("principal")
    if found is None:
        raise UnauthenticatedError(_HOW_TO_AUTHENTICATE)
    return found


def install_auth(app: Quart) -> None:
    """Make an application authenticate and authorize every request before it calls the view."""
    app.before_request(_authorize_request)


async def _authorize_request() -> None:
    if request.scope["path"].startswith("//"):  # the framework reads it as if it began with one slash
        raise NotFound
    check_host(get_services().settings)
    _check_framing()
    _check_request_text()
    if request.url_rule is None or request.url_rule.endpoint not in current_app.view_functions:
        return  # no such path or method: the error handler responds
    role = _get_route_role()
    if role is None:
        return
    found = await find_represented_principal(get_services().users, await _authenticate_request(), read_header())
    if not found.role.is_at_least(role):
        raise build_forbidden_error(f"This requires the role {role}; {found.person} has the role {found.role}.")
    g.principal = found
    set_access(build_access(found))


def make_access_check() -> Callable[[], Awaitable[bool]]:
    """Return a function that re-checks the current request's authorization, for a response that keeps streaming."""
    users, key, token = get_services().users, read_api_key(), request.cookies.get(SESSION_COOKIE)
    role, represented = _get_route_role(), read_header()

    async def has_access() -> bool:
        found = await _find_principal(users, key, token)
        if role is None or found is None:
            return role is None
        try:
            return (await find_represented_principal(users, found, represented)).role.is_at_least(role)
        except ProblemError:  # the person has been disabled
            return False

    return has_access


def require_same_origin() -> None:
    """Refuse a request that no page of our own sent: for sessions, on methods that change something.

    Raises:
        ProblemError: 403 if the browser names another site as the origin, or the request names no origin.
    """
    refuse_cross_site()
    if request.headers.get("Sec-Fetch-Site") is None and not request.headers.get("Origin"):
        raise build_forbidden_error(
            f"The request does not prove that a page of {request.host} sent it. Programs use an API key instead."
        )


def refuse_cross_site() -> None:
    """Refuse a request that a page of another site sent. Programs, which send neither header, are let through.

    Raises:
        ProblemError: 403 if the browser names another site as the origin.
    """
    fetched_from = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin", "")
    if fetched_from is not None:
        is_ours = fetched_from == "same-origin"
    else:
        # Compare the host only: behind a proxy that terminates TLS, our scheme is not the browser's.
        # The host of a request is empty if its header is malformed.
        is_ours = not origin or (bool(request.host) and origin.partition("://")[2] == request.host)
    if not is_ours:
        raise build_forbidden_error("A page of another site sent the request. Open the console itself, and try again.")


def _check_framing() -> None:
    """Refuse a body with two lengths, which a proxy in front may have read by the other one: RFC 9112, section 6.3."""
    if "Content-Length" in request.headers and "Transfer-Encoding" in request.headers:
        detail = "The request has Content-Length as well as Transfer-Encoding: send one of the two."
        raise ProblemError(Problem(400, "unreadable", detail, headers={"Connection": "close"}))


def _check_request_text() -> None:
    """Refuse an address that no database can store, before the request reaches a view."""
    for text in (request.path, *request.args, *request.args.values()):
        if fault := find_text_fault(text):
            raise ProblemError(Problem(400, "unreadable", f"The address {fault}."))


def _get_route_role() -> Role | None:
    """Return the lowest role that may make the current request."""
    return get_required_role(current_app.view_functions[request.url_rule.endpoint]) if request.url_rule else None


async def _authenticate_request() -> Principal:
    """Return the user of the current request."""
    key, token = read_api_key(), request.cookies.get(SESSION_COOKIE)
    found = await _find_principal(get_services().users, key, token)
    if found is None and key is not None:
        raise UnauthenticatedError("The API key is unknown, has expired, or was revoked.")
    if found is None:
        raise UnauthenticatedError(
            f"The session is unknown, or has ended. {_HOW_TO_AUTHENTICATE}" if token else _HOW_TO_AUTHENTICATE
        )
    if key is None and request.method not in SAFE_METHODS:
        require_same_origin()
    return found


async def _find_principal(users: Users, key: str | None, token: str | None) -> Principal | None:
    """Return the user of a key or a session. A key takes precedence: a client that sends one means it."""
    if key is not None:
        return await users.keys.authenticate_key(key)
    return await users.sessions.authenticate_session(token) if token else None


def read_api_key() -> str | None:
    """Return the API key of the current request; an empty header counts as none."""
    if key := request.headers.get("X-API-Key", "").strip():
        return key
    scheme, _, token = request.headers.get("Authorization", "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
