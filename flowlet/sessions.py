"""Sessions: what a browser has after a login. The token is random and means nothing; the table holds its hash."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256

from flowlet.accounts import Session
from flowlet.clock import microseconds
from flowlet.errors import StoreUnavailableError
from flowlet.roles import Principal
from flowlet.store.opening import Store
from flowlet.store.sessions import NewSession
from flowlet.texts import cleaned

__all__ = ["Sessions", "token_hash"]

USER_AGENT_LIMIT = 200
_MINUTE = microseconds(timedelta(minutes=1))
_TOKEN_LIMIT = 100


def token_hash(token: str) -> str:
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
        self, store: Store, *, idle: timedelta = timedelta(hours=12), lifetime: timedelta = timedelta(days=7)
    ) -> None:
        self._store = store
        self._idle = microseconds(idle)
        self._lifetime = microseconds(lifetime)

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
            token_hash(token), principal.user_id, now, now + self._lifetime, cleaned(user_agent, USER_AGENT_LIMIT)
        )
        return token if await self._store.sessions.open(new, password_hash=password_hash) else None

    async def session(self, token: str) -> Principal | None:
        """Return whose session it is, with the role that the user has now; None if it is none, or has ended.

        Raises:
            StoreUnavailableError: If the database is away. That says nothing about the session.
        """
        found = await self._store.sessions.find(token_hash(token)) if 0 < len(token) <= _TOKEN_LIMIT else None
        if found is None:
            return None
        session, principal = found
        now = self._store.clock.now()
        if not self._is_open(session, now):
            return None
        if now - session.last_seen >= _MINUTE:
            with suppress(StoreUnavailableError):  # nobody is logged out because a note cannot be written
                await self._store.sessions.touch(session.id, now=now)
        return principal

    async def close_session(self, token: str) -> None:
        """End a session, if it is one."""
        await self._store.sessions.close(token_hash(token))

    async def close_one(self, id: int, *, username: str) -> bool:
        """End a session by its id; return False, and end none, if there is none or it is another user's.

        Raises:
            UnknownUserError: If there is no such user.
        """
        return await self._store.sessions.close_one(id, (await self._store.users.get(username)).id)

    async def close_all(self, username: str, *, but: str | None = None) -> None:
        """End every session of a user, but for the one with this token.

        Raises:
            UnknownUserError: If there is no such user.
        """
        kept = None if but is None else token_hash(but)
        await self._store.sessions.close_all((await self._store.users.get(username)).id, kept=kept)

    async def list(self, username: str) -> Sequence[Session]:
        """Return the open sessions of a user, the newest first.

        Raises:
            UnknownUserError: If there is no such user.
        """
        sessions = await self._store.sessions.of((await self._store.users.get(username)).id)
        now = self._store.clock.now()
        return [session for session in sessions if self._is_open(session, now)]

    async def counts(self) -> dict[int, int]:
        """Return how many sessions each user has open, by the user's id; who has none is left out."""
        now = self._store.clock.now()
        return await self._store.sessions.counts(now=now, unseen_since=now - self._idle)

    async def id_of(self, token: str) -> int | None:
        """Return the id of a token's session; None if it is none."""
        found = await self._store.sessions.find(token_hash(token))
        return None if found is None else found[0].id

    async def purge(self, now: int) -> int:
        """Delete the sessions that have ended by a moment, in microseconds since 1970 UTC; return how many."""
        return await self._store.sessions.purge(now=now, unseen_since=now - self._idle)

    def _is_open(self, session: Session, now: int) -> bool:
        return now < session.expires and now < session.last_seen + self._idle
