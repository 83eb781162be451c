"""Users, their sessions and their API keys as others see them: without any secret. And which names can be used."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from flowlet.accounts.roles import Role
from flowlet.errors import StaleError, UserError

__all__ = [
    "MAX_ACCOUNT_NAME_LENGTH",
    "ApiKey",
    "Session",
    "User",
    "check_unchanged",
    "make_username_key",
    "normalize_name",
]

MAX_ACCOUNT_NAME_LENGTH = 120
"""Characters of a username, and of an API key's name."""
_MAX_KEY_LENGTH = 255


@dataclass(frozen=True, slots=True)
class User:
    """A user. Times are microseconds since 1970 UTC.

    Attributes:
        id: The user's id, never used twice.
        username: Unique whatever its case.
        role: What the user may do.
        is_disabled: Whether neither password, sessions nor API keys let the user in.
        created: When the user was made.
        created_by: By whom.
        modified: When password, role or standing last changed.
        modified_by: By whom.
        last_login: When the password was last given rightly; None for never.
    """

    id: int
    username: str
    role: Role
    is_disabled: bool
    created: int
    created_by: str
    modified: int
    modified_by: str
    last_login: int | None

    @property
    def is_acting_admin(self) -> bool:
        """Whether the user is an admin who can log in."""
        return self.role is Role.ADMIN and not self.is_disabled


@dataclass(frozen=True, slots=True)
class Session:
    """One login of a user. Times are microseconds since 1970 UTC.

    Attributes:
        id: By which it can be closed; of no use to get in.
        user_id: Whose it is.
        created: When the user logged in.
        last_seen: When it was last used, to the minute.
        expires: When it ends, used or not.
        user_agent: What the browser calls itself; at most 200 characters, and not to be trusted.
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
        name: What people call it.
        role: What it may do at most: its owner's role bounds it too.
        user_id: Its owner.
        username: The owner's name.
        is_owner_disabled: Whether it lets nobody in until its owner is enabled again.
        created: When it was made.
        created_by: By whom.
        expires: When it ends; None for never.
        last_used: When it was last used, to the minute; None for never.
        revoked: When it was revoked; None if it was not.
    """

    id: str
    name: str
    role: Role
    user_id: int
    username: str
    is_owner_disabled: bool
    created: int
    created_by: str
    expires: int | None
    last_used: int | None
    revoked: int | None


def check_unchanged(user: User, expected_modified: int | None) -> None:
    """Check that a user is as somebody has seen it: that it is as of the time ``expected_modified``, its ``modified`` then.

    Raises:
        StaleError: If it is not. Never where None is expected.
    """
    if expected_modified not in (None, user.modified):
        raise StaleError(
            f"{user.modified_by} has changed {user.username} since you looked, and nothing was done. Look again."
        )


def normalize_name(name: str, subject: str = "a username") -> str:
    """Return a username, or an API key's name, in its one form: Unicode's NFC.

    Args:
        name: 1 to 120 printable characters, with no space at either end.
        subject: What the message calls it.

    Raises:
        UserError: If it cannot be used.
    """
    shown = f"{name[:MAX_ACCOUNT_NAME_LENGTH]!a} cannot be {subject}"
    if not 1 <= len(name) <= MAX_ACCOUNT_NAME_LENGTH:
        raise UserError(f"{shown}: expected 1 to {MAX_ACCOUNT_NAME_LENGTH} characters, not {len(name)}.")
    if not name.isprintable():
        raise UserError(f"{shown}: it holds a control character, or another one that cannot be seen.")
    if name != name.strip():
        raise UserError(f"{shown}: it begins or ends with a space.")
    if len(_fold_case(name)) > _MAX_KEY_LENGTH:
        raise UserError(f"{shown}: it is too long with its ligatures written out.")
    return unicodedata.normalize("NFC", name)


def make_username_key(username: str) -> str:
    """Return under which key a username is found, whatever its case; empty, as no user's, if it cannot be one."""
    try:
        return _fold_case(normalize_name(username))
    except UserError:
        return ""


def _fold_case(name: str) -> str:
    """Return a name as Unicode compares identifiers without case (UAX #31, NFKC_Casefold, but for what is unseen)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
