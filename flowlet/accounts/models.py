"""Users, their sessions and their API keys, without any secret, and the rules for their names."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from flowlet.accounts.roles import Principal, Role
from flowlet.errors import UserError
from flowlet.text import MAX_IDENTIFIER_LENGTH, MAX_NAME_LENGTH

__all__ = [
    "ApiKey",
    "Session",
    "User",
    "make_username_key",
    "normalize_name",
]


@dataclass(frozen=True, slots=True)
class User:
    """A user. Times are microseconds since 1970 UTC.

    Attributes:
        id: The user's id; never reused.
        username: Unique regardless of case.
        role: What the user may do.
        is_disabled: Whether the user's password, sessions and API keys are rejected.
        version: Raised by every change of password, role or status; what ``expected_version`` is compared with.
        created: When the user was created.
        created_by: Who created the user.
        modified: When password, role or status last changed.
        modified_by: Who changed it.
        last_login: When the user last logged in with the password; None for never.
    """

    id: int
    username: str
    role: Role
    is_disabled: bool
    version: int
    created: int
    created_by: str
    modified: int
    modified_by: str
    last_login: int | None

    def build_principal(self) -> Principal:
        """Return the user as the principal of a request, authenticated by a password or a session."""
        return Principal(self.username, self.role, self.id)

    @property
    def is_acting_admin(self) -> bool:
        """Whether the user is an admin who can log in."""
        return self.role is Role.ADMIN and not self.is_disabled


@dataclass(frozen=True, slots=True)
class Session:
    """One login of a user. Times are microseconds since 1970 UTC.

    Attributes:
        id: Identifies the session when it is to be ended; it does not authenticate anyone.
        user_id: The user.
        created: When the user logged in.
        last_seen: When it was last used, to the minute.
        expires: When it ends, even if it is in use.
        user_agent: The name that the browser reports; at most 200 characters, and not to be trusted.
    """

    id: int
    user_id: int
    created: int
    last_seen: int
    expires: int
    user_agent: str


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key. Times are microseconds since 1970 UTC.

    Attributes:
        id: The part of the key that may be shown.
        name: A label for people.
        role: Its highest role; it never has more permissions than its owner currently has.
        user_id: The owner's id.
        username: The owner's name.
        may_act_on_behalf: Whether it may act on behalf of other persons.
        is_owner_disabled: Whether it is rejected because its owner is disabled.
        version: Raised when it is revoked; what ``expected_version`` is compared with.
        created: When it was created.
        created_by: Who created it.
        expires: When it expires; None for never.
        last_used: When it was last used, to the minute; None for never.
        revoked: When it was revoked; None if it was not.
    """

    id: str
    name: str
    role: Role
    user_id: int
    username: str
    may_act_on_behalf: bool
    is_owner_disabled: bool
    version: int
    created: int
    created_by: str
    expires: int | None
    last_used: int | None
    revoked: int | None


def normalize_name(name: str, subject: str = "a username") -> str:
    """Return a username, or an API key's name, normalized to Unicode's NFC.

    Args:
        name: 1 to 120 printable characters, with no space at either end.
        subject: How the message names it.

    Raises:
        UserError: If it cannot be used.
    """
    shown = f"{name[:MAX_NAME_LENGTH]!a} cannot be {subject}"
    if not 1 <= len(name) <= MAX_NAME_LENGTH:
        raise UserError(f"{shown}: expected 1 to {MAX_NAME_LENGTH} characters, not {len(name)}.")
    if not name.isprintable():
        raise UserError(f"{shown}: it contains a control character or another invisible character.")
    if name != name.strip():
        raise UserError(f"{shown}: it starts or ends with a space.")
    if len(_fold_case(name)) > MAX_IDENTIFIER_LENGTH:
        raise UserError(f"{shown}: it is too long when its ligatures are expanded.")
    return unicodedata.normalize("NFC", name)


def make_username_key(username: str) -> str:
    """Return the key under which a username is stored regardless of case; empty if it cannot be a username."""
    try:
        return _fold_case(normalize_name(username))
    except UserError:
        return ""


def _fold_case(name: str) -> str:
    """Return a name as Unicode compares identifiers without case (UAX #31, NFKC_Casefold, except ignorables)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
