"""Users: who may log in, and as what. Every change is one transaction, and is logged with who made it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Protocol, TypeVar

from flowlet.accounts import User, check_unchanged, checked_name
from flowlet.errors import LastAdminError
from flowlet.keys import ApiKeys
from flowlet.passwords import Passwords, checked_password, random_password
from flowlet.roles import Principal, Role
from flowlet.sessions import Sessions, token_hash
from flowlet.store.opening import Store
from flowlet.store.users import Credentials, NewUser, UserChange

__all__ = ["ADMIN", "PUBLIC_PASSWORD", "PasswordHashes", "Users"]

ADMIN = "admin"
"""What the first admin is called."""
PUBLIC_PASSWORD = "admin"  # noqa: S105  # no secret, and treated so
"""The admin's password in the demo, where only this machine can reach it: everybody knows it."""
HASHED_AT_ONCE = 2
"""Passwords hashed at once: each takes 19 MiB and a core, and a flood of logins must not stop the engine."""

T = TypeVar("T")
logger = logging.getLogger(__name__)


class PasswordHashes(Protocol):
    """What ``Users`` needs of ``Passwords``."""

    dummy: str

    def hash(self, password: str) -> str:
        """Return the hash of a password."""
        ...

    def verify(self, stored: str, password: str) -> bool:
        """Return whether a hash is that of a password."""
        ...

    def needs_rehash(self, stored: str) -> bool:
        """Return whether a hash was made with other parameters than are used now."""
        ...


class Users:
    """Makes, changes and recognises users; ``sessions`` and ``keys`` are theirs.

    There is always an admin who can log in, once there was one. Usernames are unique whatever their case, and are
    found in any. Every method raises ``StoreUnavailableError`` if the database is away.

    Args:
        store: The database.
        passwords: What hashes passwords.
        session_idle: As ``idle`` of ``Sessions``.
        session_lifetime: As ``lifetime`` of ``Sessions``.

    Attributes:
        sessions: The sessions.
        keys: The API keys.
    """

    def __init__(
        self,
        store: Store,
        *,
        passwords: PasswordHashes | None = None,
        session_idle: timedelta = timedelta(hours=12),
        session_lifetime: timedelta = timedelta(days=7),
    ) -> None:
        self._store = store
        self._passwords = passwords or Passwords()
        # Threads of their own, rather than a semaphore over common ones: a thread goes on when its caller is cancelled,
        # and a client that logs in and hangs up, again and again, would have as many running as it likes.
        self._threads = ThreadPoolExecutor(HASHED_AT_ONCE, thread_name_prefix="flowlet-passwords")
        self.sessions = Sessions(store, idle=session_idle, lifetime=session_lifetime)
        self.keys = ApiKeys(store)

    async def create(self, username: str, password: str, role: Role, *, by: str) -> User:
        """Make a user.

        Args:
            username: 1 to 120 printable characters, with no space at either end.
            password: 8 to 1,000 characters; kept as a hash only.
            role: What the user may do.
            by: Who makes the user.

        Raises:
            UserError: If name or password cannot be used.
            UserExistsError: If the name is taken, in whatever case.
        """
        username = checked_name(username)
        password_hash = await self._in_thread(lambda: self._passwords.hash(checked_password(password)))
        made = await self._store.users.insert(NewUser(username, role, password_hash, by), now=self._now())
        logger.info("%s made the user %s as %s", by, username, role)
        return made

    async def ensure_admin(self, password: str | None = None) -> str | None:
        """Make the user ``admin`` if there is no user at all. Of many processes that start at once, one does.

        Args:
            password: The password; None for a random one. May be shorter than others: it is the setting
                FLOWLET_ADMIN_PASSWORD, which is held to eight, or the demo's, which is public.

        Returns:
            The password, to be shown once; None if there is a user already.

        Raises:
            UserError: If the password is empty, too long, or holds control characters.
        """
        if not await self._store.users.is_empty():
            return None
        chosen = checked_password(random_password() if password is None else password, shortest=1)
        password_hash = await self._in_thread(lambda: self._passwords.hash(chosen))
        new = NewUser(ADMIN, Role.ADMIN, password_hash, by="flowlet")
        if await self._store.users.insert_first(new, now=self._now()) is None:
            return None
        logger.info("made the user %s, because there was none", ADMIN)
        return chosen

    async def get(self, username: str) -> User:
        """Return the user of a name, in whatever case.

        Raises:
            UnknownUserError: If there is none.
        """
        return await self._store.users.get(username)

    async def by_id(self, id: int) -> User:
        """Return the user of an id.

        Raises:
            UnknownUserError: If there is none.
        """
        return await self._store.users.by_id(id)

    async def list(self) -> Sequence[User]:
        """Return every user, by name."""
        return await self._store.users.all()

    async def set_password(
        self, username: str, password: str, *, by: str, but: str | None = None, expected: int | None = None
    ) -> User:
        """Change a password, and end every session of the user but for the one with the token ``but``.

        Raises:
            StaleError: As ``check_unchanged``.
            UnknownUserError: If there is no such user.
            UserError: If the password cannot be used.
        """
        password_hash = await self._in_thread(lambda: self._passwords.hash(checked_password(password)))
        kept = None if but is None else token_hash(but)

        def decide(user: User, _: int) -> UserChange:
            signed = self._signed(user, by)
            return UserChange(signed, password_hash=password_hash, ends_sessions=True, kept_session=kept)

        changed = await self._change(username, decide, expected)
        logger.info("%s changed the password of %s", by, changed.username)
        return changed

    async def change_own_password(
        self, username: str, current: str, password: str, *, but: str | None = None
    ) -> User | None:
        """Change a password for who knows it, as ``set_password``; return None, and change nothing, for who does not.

        Ask ``LoginLimiter`` first: else who finds an open session could try passwords here.

        Raises:
            UnknownUserError: If there is no such user.
            UserError: If the new password cannot be used.
        """
        checked_password(password)
        if await self._authenticated(username, current) is None:
            return None
        return await self.set_password(username, password, by=username, but=but)

    async def has_public_password(self) -> bool:
        """Return whether the admin's password is the demo's."""
        return await self._public_credentials() is not None

    async def replace_public_password(self, password: str | None = None) -> str | None:
        """Give the admin another password where it is the demo's, and end the admin's sessions.

        Of many processes that start at once, one does. A disabled admin gets one too: it may be enabled again.

        Args:
            password: The new password; None for a random one.

        Returns:
            The new password, to be shown once; None if there was nothing to do.

        Raises:
            UserError: If the new password cannot be used.
        """
        found = await self._public_credentials()
        if found is None:
            return None
        chosen = checked_password(random_password() if password is None else password)
        password_hash = await self._in_thread(lambda: self._passwords.hash(chosen))

        if not await self._store.users.replace_password(found, password_hash, by="flowlet", now=self._now()):
            return None  # another process was faster
        logger.warning("%s had the demo's password, and has another one now", ADMIN)
        return chosen

    async def set_role(self, username: str, role: Role, *, by: str, expected: int | None = None) -> User:
        """Change what a user may do; it holds for open sessions and for API keys too.

        Raises:
            StaleError: As ``check_unchanged``.
            UnknownUserError: If there is no such user.
            LastAdminError: If it is the last admin, and the role another one.
        """

        def decide(user: User, other_admins: int) -> UserChange:
            if role is not Role.ADMIN:
                _keep_an_admin(user, other_admins)
            return UserChange(self._signed(replace(user, role=role), by))

        changed = await self._change(username, decide, expected)
        logger.info("%s made %s %s", by, changed.username, role)
        return changed

    async def disable(self, username: str, *, by: str, expected: int | None = None) -> User:
        """Let a user in no longer: sessions end, API keys are refused until the user is enabled again.

        Raises:
            StaleError: As ``check_unchanged``.
            UnknownUserError: If there is no such user.
            LastAdminError: If it is the last admin.
        """

        def decide(user: User, other_admins: int) -> UserChange:
            _keep_an_admin(user, other_admins)
            return UserChange(self._signed(replace(user, is_disabled=True), by), ends_sessions=True)

        changed = await self._change(username, decide, expected)
        logger.info("%s disabled %s", by, changed.username)
        return changed

    async def enable(self, username: str, *, by: str, expected: int | None = None) -> User:
        """Let a user in again, with password and API keys as before.

        Raises:
            StaleError: As ``check_unchanged``.
            UnknownUserError: If there is no such user.
        """
        changed = await self._change(
            username, lambda user, _: UserChange(self._signed(replace(user, is_disabled=False), by)), expected
        )
        logger.info("%s enabled %s", by, changed.username)
        return changed

    async def delete(self, username: str, *, by: str, expected: int | None = None) -> None:
        """Delete a user, with sessions and API keys. What the user has done stays in the histories.

        Raises:
            StaleError: As ``check_unchanged``.
            UnknownUserError: If there is no such user.
            LastAdminError: If it is the last admin.
        """

        def check(user: User, other_admins: int) -> None:
            check_unchanged(user, expected)
            _keep_an_admin(user, other_admins)

        deleted = await self._store.users.delete(username, check)
        self.keys.forget()
        logger.info("%s deleted %s", by, deleted.username)

    async def authenticate(self, username: str, password: str) -> Principal | None:
        """Return who it is, if the password is right and the user enabled; else None.

        It costs one verification in any case, so that the time it takes does not tell which names there are. Ask
        ``LoginLimiter`` first.
        """
        found = await self._authenticated(username, password)
        return None if found is None else _principal(found.user)

    async def log_in(self, username: str, password: str, *, user_agent: str = "") -> tuple[str, Principal] | None:
        """Authenticate, and open a session. Return its token and who it is, or None.

        A password that is changed, or a user who is disabled, while this goes on: no session is left behind.
        """
        found = await self._authenticated(username, password)
        if found is None:
            return None
        principal = _principal(found.user)
        token = await self.sessions.open_session(principal, user_agent=user_agent, password_hash=found.password_hash)
        return None if token is None else (token, principal)

    async def session(self, token: str) -> Principal | None:
        """Return whose session it is, as ``Sessions.session``."""
        return await self.sessions.session(token)

    async def key(self, text: str) -> Principal | None:
        """Return who an API key stands for, as ``ApiKeys.key``."""
        return await self.keys.key(text)

    async def _authenticated(self, username: str, password: str) -> Credentials | None:
        found = await self._store.users.credentials(username)
        stored = self._passwords.dummy if found is None else found.password_hash
        is_right = await self._in_thread(lambda: self._passwords.verify(stored, password))
        if found is None or not is_right or found.user.is_disabled:
            return None
        rehashed = None
        if self._passwords.needs_rehash(stored):
            rehashed = await self._in_thread(lambda: self._passwords.hash(checked_password(password, shortest=1)))
        user = await self._store.users.logged_in(found, rehashed=rehashed, now=self._now())
        return None if user is None else Credentials(user, rehashed or stored)

    async def _public_credentials(self) -> Credentials | None:
        found = await self._store.users.credentials(ADMIN)
        if found is None:
            return None
        is_public = await self._in_thread(lambda: self._passwords.verify(found.password_hash, PUBLIC_PASSWORD))
        return found if is_public else None

    async def _change(self, username: str, decide: Callable[[User, int], UserChange], expected: int | None) -> User:
        def checked(user: User, other_admins: int) -> UserChange:
            check_unchanged(user, expected)
            return decide(user, other_admins)

        changed = await self._store.users.change(username, checked)
        self.keys.forget()
        return changed

    def _signed(self, user: User, by: str) -> User:
        # Later than before even where a clock stands still or is set back: who has seen a user tells by it.
        return replace(user, modified=max(self._now(), user.modified + 1), modified_by=by)

    def _now(self) -> int:
        return self._store.clock.now()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _keep_an_admin(user: User, other_admins: int) -> None:
    if user.is_acting_admin and not other_admins:
        raise LastAdminError(
            f"{user.username!r} is the last admin who is enabled: without, nobody could administer. "
            "Make another admin first."
        )


def _principal(user: User) -> Principal:
    return Principal(user.username, user.role, user.id)
