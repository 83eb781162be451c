"""Cookies by which a browser proves that a user has logged in with it before: its logins have a limit of their own.

Source: "Slow Down Online Guessing Attacks with Device Cookies", OWASP.
"""

from __future__ import annotations

import secrets
from datetime import timedelta

from itsdangerous import BadData, URLSafeTimedSerializer

from flowlet.accounts.models import make_username_key
from flowlet.store.opening import Store

__all__ = ["DEVICE_LIFETIME", "KnownDevices"]

DEVICE_LIFETIME = timedelta(days=365)
"""How long a browser is known after a login."""
MAX_COOKIE_LENGTH = 500
_SALT = "flowlet: a device that a user has logged in with"


class KnownDevices:
    """Signs and checks the cookies of browsers.

    A cookie is signed with the hash of its user's password, which no client knows: it holds for every process and
    after every restart, and a new password makes all browsers unknown again. It opens nothing.

    Args:
        store: The database with the users.
    """

    def __init__(self, store: Store) -> None:
        self._users = store.users

    async def sign(self, username: str) -> str | None:
        """Return a cookie for a browser with which a user has just logged in; None if there is no such user by now."""
        found = await self._users.find_credentials(username)
        if found is None:
            return None
        return _build_serializer(found.password_hash).dumps([make_username_key(username), secrets.token_urlsafe(12)])

    async def find_device(self, cookie: str, username: str) -> str | None:
        """Return the id of the device whose cookie it is, if the user has logged in with it; None otherwise.

        Raises:
            StoreUnavailableError: If the database is unavailable.
        """
        if not 0 < len(cookie) <= MAX_COOKIE_LENGTH:
            return None
        found = await self._users.find_credentials(username)
        if found is None:
            return None
        try:
            signed = _build_serializer(found.password_hash).loads(
                cookie, max_age=round(DEVICE_LIFETIME.total_seconds())
            )
        except BadData:
            return None
        name, device = signed
        return str(device) if name == make_username_key(username) else None


def _build_serializer(password_hash: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(password_hash, salt=_SALT)
