"""The header On-Behalf-Of: an API key that may do so acts for another person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import unquote

from quart import request

from flowlet.accounts.access import CONSOLE, SESSION_API, Access, build_key_access
from flowlet.accounts.models import User, normalize_name
from flowlet.accounts.roles import Principal, Role
from flowlet.auth.users import Users
from flowlet.errors import UnknownUserError, UserError
from flowlet.web.problems import Problem, ProblemError, build_forbidden_error

__all__ = ["HEADER", "build_access", "find_represented_principal", "read_header"]

HEADER = "On-Behalf-Of"
MAX_HEADER_LENGTH = 1_500
"""More than 120 characters have in UTF-8, percent-encoded."""


def read_header() -> Sequence[str]:
    """Return each value that the current request has of the header."""
    return request.headers.getlist(HEADER)


async def find_represented_principal(users: Users, found: Principal, given: Sequence[str]) -> Principal:
    """Return the principal of a request: with the person for whom its API key acts, if it names one.

    A person who is a user has at most that user's role. One who is not has no team, and at most the role operator.

    Args:
        users: The users.
        found: The user of the request's key or session.
        given: The values of the header, of which there may be one.

    Raises:
        ProblemError: 403 if the principal may not act on behalf of others, or the person is a disabled user; 400 if the
            header is not the name of a person.
    """
    if not given:
        return found
    if not found.may_act_on_behalf:
        raise build_forbidden_error(
            f"The header {HEADER} requires an API key that an admin has created to act on behalf of others."
        )
    name = _read_name(given)
    user = await _find_user(users, name)
    if user is not None and user.is_disabled:
        raise build_forbidden_error(f"The user {user.username}, whom {HEADER} names, is disabled.")
    limit = Role.OPERATOR if user is None else user.role
    return replace(found, role=min(found.role, limit), on_behalf_of=user.username if user else name)


def build_access(principal: Principal) -> Access:
    """Return how the principal of the current request reached Flowlet."""
    if principal.key_id is not None:
        return build_key_access(principal.key_id, principal.on_behalf_of)
    return SESSION_API if request.path.startswith("/api/") else CONSOLE


def _read_name(given: Sequence[str]) -> str:
    """Return the name in the header, whose commas and characters beyond ASCII are percent-encoded UTF-8.

    A name that was misread would be another person: one without a user, whom no rule excludes.
    """
    try:
        if len(given) > 1:
            raise UserError("was sent more than once")
        if len(given[0]) > MAX_HEADER_LENGTH:
            raise UserError(f"has more than {MAX_HEADER_LENGTH:,} characters")
        if not given[0].isascii():
            raise UserError("has characters beyond ASCII that are not percent-encoded")
        if "," in given[0]:  # proxies join headers that were sent twice: RFC 9110, section 5.3
            raise UserError("has a comma, which is percent-encoded in a name: %2C")
        return normalize_name(unquote(given[0], errors="strict"), "the name")
    except (UserError, UnicodeDecodeError) as error:
        why = str(error) if isinstance(error, UserError) else "is not UTF-8, percent-encoded"
        raise ProblemError(
            Problem(400, "unreadable", f"The header {HEADER} cannot be used: {why.rstrip('.')}.")
        ) from None


async def _find_user(users: Users, name: str) -> User | None:
    try:
        return await users.get(name)
    except UnknownUserError:
        return None
