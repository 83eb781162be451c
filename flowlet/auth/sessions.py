"""Sessions of browsers that have logged in. The token is random; the table stores only its hash."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256

from flowlet.accounts.audit import AuditAction, AuditEntry
from flowlet.accounts.models import Session
from flowlet.accounts.roles import Principal
from flowlet.clock import to_microseconds
from flowlet.errors import StoreUnavailableError
from flowlet.store.opening import Store
from flowlet.store.sessions import NewSession
from flowlet.text import clean_text

__all__ = ["Sessions", "hash_token"]

MAX_USER_AGENT_LENGTH = 200
_MICROSECONDS_PER_MINUTE = to_microseconds(timedelta(minutes=1))
_MAX_TOKEN_LENGTH = 100


def hash_token(token: str) -> str:
    """Return the hash of a token, which is what the table stores."""
    # A fast hash suffices: 256 random bits cannot be guessed.
    return sha256(token.encode("utf-8", "replace")).hexdigest()


class Sessions:
    """Opens, authenticates and ends sessions. Every request reads the database, so an end takes effect at once.

    Args:
        store: The database.
        idle_timeout: How long a session may be unused before it ends; accurate to a minute, because its use is
            recorded at most once a minute.
        lifetime: How long until a session ends even if it is in use.
    """

    def __init__(
        self, store: Store, *, idle_timeout: timedelta = timedelta(hours=12), lifetime: timedelta = timedelta(days=7)
    ) -> None:
        self._store = store
        self._idle_timeout = to_microseconds(idle_timeout)
        self._lifetime = to_microseconds(lifetime)

    async def open_session(
        self, principal: Principal, *, user_agent: str = "", password_hash: str | None = None
    ) -> str | None:
        """Open a session for a user who has logged in, and return its token, which is not stored.

        Args:
            principal: The user who has logged in.
            user_agent: The name that the browser reports.
            password_hash: The hash against which the password was verified; if it has changed in the meantime, no
                session is opened.

        Returns:
            The token; None if the user has been disabled or deleted, or the password changed, in the meantime.

        Raises:
            StoreUnavailableError: If the database cannot be reached.
        """
        token = secrets.token_urlsafe(32)
        now = self._store.clock.now()
        new = NewSession(
            hash_token(token),
            principal.user_id,
            now,
            now + self._lifetime,
            clean_text(user_agent, MAX_USER_AGENT_LENGTH),
        )
        return token if await self._store.sessions.open(new, password_hash=password_hash) else None

    async def authenticate_session(self, token: str) -> Principal | None:
        """Return the user of a session, with the user's current role; None if there is no such session or it has ended.

        Raises:
            StoreUnavailableError: If the database cannot be reached. The session may be valid.
        """
        found = await self._store.sessions.find(hash_token(token)) if 0 < len(token) <= _MAX_TOKEN_LENGTH else None
        if found is None:
            return None
        session, principal = found
        now = self._store.clock.now()
        if not self._is_open(session, now):
            return None
        if now - session.last_seen >= _MICROSECONDS_PER_MINUTE:
            with suppress(StoreUnavailableError):  # a user is not logged out because a use cannot be recorded
                await self._store.sessions.record_use(session.id, now=now)
        return principal

    async def close_session(self, token: str) -> None:
        """End the session with a token, if there is one, with a line in the audit."""
        await self._store.sessions.close(hash_token(token), now=self._store.clock.now())

    async def close_session_by_id(self, id: int, *, username: str) -> bool:
        """End a user's session by its id; return False if the user has no such session.

        Raises:
            UnknownUserError: If there is no such user.
        """
        user = await self._store.users.get(username)
        entry = AuditEntry(user.username, AuditAction.USER_LOGGED_OUT, user.username, "one session")
        return await self._store.sessions.close_by_id(id, user.id, entry, now=self._store.clock.now())

    async def list_sessions(self, username: str) -> Sequence[Session]:
        """Return the open sessions of a user, the newest first.

        Raises:
            UnknownUserError: If there is no such user.
        """
        sessions = await self._store.sessions.list_for_user((await self._store.users.get(username)).id)
        now = self._store.clock.now()
        return [session for session in sessions if self._is_open(session, now)]

    async def count_open_sessions(self) -> dict[int, int]:
        """Return the number of open sessions by user id; users without one are left out."""
        now = self._store.clock.now()
        return await self._store.sessions.count_by_user(now=now, unseen_since=now - self._idle_timeout)

    async def get_session_id(self, token: str) -> int | None:
        """Return the id of the session with a token; None if there is none."""
        found = await self._store.sessions.find(hash_token(token))
        return None if found is None else found[0].id

    async def find_owner(self, token: str) -> str | None:
        """Return the user of a session that is open or has ended; None if it is unknown, or the user is disabled."""
        found = await self._store.sessions.find(hash_token(token)) if 0 < len(token) <= _MAX_TOKEN_LENGTH else None
        return None if found is None else found[1].username

    async def delete_ended_sessions(self, now: int) -> int:
        """Delete the sessions that have ended by a time, in microseconds since 1970 UTC; return how many."""
        return await self._store.sessions.delete_expired(now=now, unseen_since=now - self._idle_timeout)

    def _is_open(self, session: Session, now: int) -> bool:
        return now < session.expires and now < session.last_seen + self._idle_timeout
