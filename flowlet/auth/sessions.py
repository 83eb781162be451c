"""Sessions: what a browser has after a login. The token is random and means nothing; the table holds its hash."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256

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
    """Return what the table holds of a token."""
    # Fast on purpose: there is nothing to guess in 256 random bits.
    return sha256(token.encode("utf-8", "replace")).hexdigest()


class Sessions:
    """Opens, recognises and closes sessions. The database is asked each time: what ends one acts at once, everywhere.

    Args:
        store: The database.
        idle: After how long without a request a session ends; exact to a minute, because its use is written down at
            most once a minute.
        lifetime: After how long it ends in any case.
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
        """Open a session for who has logged in, and return its token, which nothing can show again.

        Args:
            principal: Who has logged in.
            user_agent: What the browser calls itself.
            password_hash: What the password was verified against; if it has changed meanwhile, no session is opened.

        Returns:
            The token; None if the user has been disabled or deleted meanwhile.

        Raises:
            StoreUnavailableError: If the database is away.
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
        """Return whose session it is, with the role that the user has now; None if it is none, or has ended.

        Raises:
            StoreUnavailableError: If the database is away. That says nothing about the session.
        """
        found = await self._store.sessions.find(hash_token(token)) if 0 < len(token) <= _MAX_TOKEN_LENGTH else None
        if found is None:
            return None
        session, principal = found
        now = self._store.clock.now()
        if not self._is_open(session, now):
            return None
        if now - session.last_seen >= _MICROSECONDS_PER_MINUTE:
            with suppress(StoreUnavailableError):  # nobody is logged out because a note cannot be written
                await self._store.sessions.record_use(session.id, now=now)
        return principal

    async def close_session(self, token: str) -> None:
        """End a session, if it is one."""
        await self._store.sessions.close(hash_token(token))

    async def close_session_by_id(self, id: int, *, username: str) -> bool:
        """End a session by its id; return False, and end none, if there is none or it is another user's.

        Raises:
            UnknownUserError: If there is no such user.
        """
        return await self._store.sessions.close_by_id(id, (await self._store.users.get(username)).id)

    async def close_all_sessions(self, username: str, *, except_token: str | None = None) -> None:
        """End every session of a user, but for the one with this token.

        Raises:
            UnknownUserError: If there is no such user.
        """
        kept = None if except_token is None else hash_token(except_token)
        await self._store.sessions.close_all((await self._store.users.get(username)).id, kept_hash=kept)

    async def list_sessions(self, username: str) -> Sequence[Session]:
        """Return the open sessions of a user, the newest first.

        Raises:
            UnknownUserError: If there is no such user.
        """
        sessions = await self._store.sessions.list_for_user((await self._store.users.get(username)).id)
        now = self._store.clock.now()
        return [session for session in sessions if self._is_open(session, now)]

    async def count_open_sessions(self) -> dict[int, int]:
        """Return how many sessions each user has open, by the user's id; who has none is left out."""
        now = self._store.clock.now()
        return await self._store.sessions.count_by_user(now=now, unseen_since=now - self._idle_timeout)

    async def get_session_id(self, token: str) -> int | None:
        """Return the id of a token's session; None if it is none."""
        found = await self._store.sessions.find(hash_token(token))
        return None if found is None else found[0].id

    async def delete_ended_sessions(self, now: int) -> int:
        """Delete the sessions that have ended by a moment, in microseconds since 1970 UTC; return how many."""
        return await self._store.sessions.delete_expired(now=now, unseen_since=now - self._idle_timeout)

    def _is_open(self, session: Session, now: int) -> bool:
        return now < session.expires and now < session.last_seen + self._idle_timeout
