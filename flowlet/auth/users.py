"""Users: who may log in, and as what. Every change is one transaction, and is logged with who made it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Protocol, TypeVar

from flowlet.accounts.models import User, check_unchanged, normalize_name
from flowlet.accounts.passwords import Argon2PasswordHashing, generate_password, normalize_password
from flowlet.accounts.roles import Principal, Role
from flowlet.auth.api_keys import ApiKeys
from flowlet.auth.sessions import Sessions, hash_token
from flowlet.errors import LastAdminError
from flowlet.store.opening import Store
from flowlet.store.users import Credentials, NewUser, UserChange

__all__ = ["ADMIN_USERNAME", "PUBLIC_PASSWORD", "PasswordHashing", "Users"]

ADMIN_USERNAME = "admin"
"""What the first admin is called."""
PUBLIC_PASSWORD = "admin"  # noqa: S105  # no secret, and treated so
"""The admin's password in the demo, where only this machine can reach it: everybody knows it."""
MAX_CONCURRENT_HASHES = 2
"""Passwords hashed at once: each takes 19 MiB and a core, and a flood of logins must not stop the engine."""

T = TypeVar("T")
logger = logging.getLogger(__name__)


class PasswordHashing(Protocol):
    """What ``Users`` needs of ``Passwords``."""

    dummy_hash: str

    def hash_password(self, password: str) -> str:
        """Return the hash of a password."""
        ...

    def verify_password(self, stored_hash: str, password: str) -> bool:
        """Return whether a hash is that of a password."""
        ...

    def needs_rehash(self, stored_hash: str) -> bool:
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
        passwords: PasswordHashing | None = None,
        session_idle: timedelta = timedelta(hours=12),
        session_lifetime: timedelta = timedelta(days=7),
    ) -> None:
        self._store = store
        self._passwords = passwords or Argon2PasswordHashing()
        # Threads of their own, rather than a semaphore over common ones: a thread goes on when its caller is cancelled,
        # and a client that logs in and hangs up, again and again, would have as many running as it likes.
        self._threads = ThreadPoolExecutor(MAX_CONCURRENT_HASHES, thread_name_prefix="flowlet-passwords")
        self.sessions = Sessions(store, idle_timeout=session_idle, lifetime=session_lifetime)
        self.keys = ApiKeys(store)

    def close(self) -> None:
        """Let the threads that hash passwords end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def create(self, username: str, password: str, role: Role, *, actor: str) -> User:
        """Make a user.

        Args:
            username: 1 to 120 printable characters, with no space at either end.
            password: 8 to 1,000 characters; kept as a hash only.
            role: What the user may do.
            actor: Who makes the user.

        Raises:
            UserError: If name or password cannot be used.
            UserExistsError: If the name is taken, in whatever case.
        """
        username = normalize_name(username)
        password_hash = await self._run_in_thread(lambda: self._passwords.hash_password(normalize_password(password)))
        made = await self._store.users.insert(NewUser(username, role, password_hash, actor), now=self._now())
        logger.info("%s made the user %s as %s", actor, username, role)
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
        chosen = normalize_password(generate_password() if password is None else password, min_length=1)
        password_hash = await self._run_in_thread(lambda: self._passwords.hash_password(chosen))
        new = NewUser(ADMIN_USERNAME, Role.ADMIN, password_hash, created_by="flowlet")
        if await self._store.users.insert_first(new, now=self._now()) is None:
            return None
        logger.info("made the user %s, because there was none", ADMIN_USERNAME)
        return chosen

    async def get(self, username: str) -> User:
        """Return the user of a name, in whatever case.

        Raises:
            UnknownUserError: If there is none.
        """
        return await self._store.users.get(username)

    async def get_by_id(self, id: int) -> User:
        """Return the user of an id.

        Raises:
            UnknownUserError: If there is none.
        """
        return await self._store.users.get_by_id(id)

    async def list_users(self) -> Sequence[User]:
        """Return every user, by name."""
        return await self._store.users.list_all()

    async def set_password(
        self,
        username: str,
        password: str,
        *,
        actor: str,
        except_token: str | None = None,
        expected_modified: int | None = None,
    ) -> User:
        """Change a password, and end every session of the user but for the one with the token ``except_token``.

        Raises:
            StaleError: As ``check_unchanged``.
            UnknownUserError: If there is no such user.
            UserError: If the password cannot be used.
        """
        password_hash = await self._run_in_thread(lambda: self._passwords.hash_password(normalize_password(password)))
        kept = None if except_token is None else hash_token(except_token)

        def decide(user: User, _: int) -> UserChange:
            signed = self._stamp_modification(user, actor)
            return UserChange(signed, password_hash=password_hash, ends_sessions=True, kept_session_hash=kept)

        changed = await self._change_user(username, decide, expected_modified)
        logger.info("%s changed the password of %s", actor, changed.username)
        return changed

    async def change_own_password(
        self, username: str, current: str, password: str, *, except_token: str | None = None
    ) -> User | None:
        """Change a password for who knows it, as ``set_password``; return None, and change nothing, for who does not.

        Ask ``LoginLimiter`` first: else who finds an open session could try passwords here.

        Raises:
            UnknownUserError: If there is no such user.
            UserError: If the new password cannot be used.
        """
        normalize_password(password)
        if await self._verify_credentials(username, current) is None:
            return None
        return await self.set_password(username, password, actor=username, except_token=except_token)

    async def has_public_password(self) -> bool:
        """Return whether the admin's password is the demo's."""
        return await self._find_public_credentials() is not None

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
        found = await self._find_public_credentials()
        if found is None:
            return None
        chosen = normalize_password(generate_password() if password is None else password)
        password_hash = await self._run_in_thread(lambda: self._passwords.hash_password(chosen))

        if not await self._store.users.replace_password(found, password_hash, modified_by="flowlet", now=self._now()):
            return None  # another process was faster
        logger.warning("%s had the demo's password, and has another one now", ADMIN_USERNAME)
        return chosen

    async def set_role(self, username: str, role: Role, *, actor: str, expected_modified: int | None = None) -> User:
        """Change what a user may do; it holds for open sessions and for API keys too.

        Raises:
            StaleError: As ``check_unchanged``.
            UnknownUserError: If there is no such user.
            LastAdminError: If it is the last admin, and the role another one.
        """

        def decide(user: User, other_admins: int) -> UserChange:
            if role is not Role.ADMIN:
                _require_other_admin(user, other_admins)
            return UserChange(self._stamp_modification(replace(user, role=role), actor))

        changed = await self._change_user(username, decide, expected_modified)
        logger.info("%s made %s %s", actor, changed.username, role)
        return changed

    async def disable(self, username: str, *, actor: str, expected_modified: int | None = None) -> User:
        """Let a user in no longer: sessions end, API keys are refused until the user is enabled again.

        Raises:
            StaleError: As ``check_unchanged``.
            UnknownUserError: If there is no such user.
            LastAdminError: If it is the last admin.
        """

        def decide(user: User, other_admins: int) -> UserChange:
            _require_other_admin(user, other_admins)
            return UserChange(self._stamp_modification(replace(user, is_disabled=True), actor), ends_sessions=True)

        changed = await self._change_user(username, decide, expected_modified)
        logger.info("%s disabled %s", actor, changed.username)
        return changed

    async def enable(self, username: str, *, actor: str, expected_modified: int | None = None) -> User:
        """Let a user in again, with password and API keys as before.

        Raises:
            StaleError: As ``check_unchanged``.
            UnknownUserError: If there is no such user.
        """
        changed = await self._change_user(
            username,
            lambda user, _: UserChange(self._stamp_modification(replace(user, is_disabled=False), actor)),
            expected_modified,
        )
        logger.info("%s enabled %s", actor, changed.username)
        return changed

    async def delete(self, username: str, *, actor: str, expected_modified: int | None = None) -> None:
        """Delete a user, with sessions and API keys. What the user has done stays in the histories.

        Raises:
            StaleError: As ``check_unchanged``.
            UnknownUserError: If there is no such user.
            LastAdminError: If it is the last admin.
        """

        def check(user: User, other_admins: int) -> None:
            check_unchanged(user, expected_modified)
            _require_other_admin(user, other_admins)

        deleted = await self._store.users.delete(username, check)
        self.keys.clear_cache()
        logger.info("%s deleted %s", actor, deleted.username)

    async def authenticate(self, username: str, password: str) -> Principal | None:
        """Return who it is, if the password is right and the user enabled; else None.

        It costs one verification in any case, so that the time it takes does not tell which names there are. Ask
        ``LoginLimiter`` first.
        """
        found = await self._verify_credentials(username, password)
        return None if found is None else _build_principal(found.user)

    async def log_in(self, username: str, password: str, *, user_agent: str = "") -> tuple[str, Principal] | None:
        """Authenticate, and open a session. Return its token and who it is, or None.

        A password that is changed, or a user who is disabled, while this goes on: no session is left behind.
        """
        found = await self._verify_credentials(username, password)
        if found is None:
            return None
        principal = _build_principal(found.user)
        token = await self.sessions.open_session(principal, user_agent=user_agent, password_hash=found.password_hash)
        return None if token is None else (token, principal)

    async def authenticate_session(self, token: str) -> Principal | None:
        """Return whose session it is, as ``Sessions.session``."""
        return await self.sessions.authenticate_session(token)

    async def authenticate_key(self, text: str) -> Principal | None:
        """Return who an API key stands for, as ``ApiKeys.key``."""
        return await self.keys.authenticate_key(text)

    async def _verify_credentials(self, username: str, password: str) -> Credentials | None:
        found = await self._store.users.find_credentials(username)
        stored = self._passwords.dummy_hash if found is None else found.password_hash
        is_right = await self._run_in_thread(lambda: self._passwords.verify_password(stored, password))
        if found is None or not is_right or found.user.is_disabled:
            return None
        rehashed = None
        if self._passwords.needs_rehash(stored):
            rehashed = await self._run_in_thread(
                lambda: self._passwords.hash_password(normalize_password(password, min_length=1))
            )
        user = await self._store.users.record_login(found, new_password_hash=rehashed, now=self._now())
        return None if user is None else Credentials(user, rehashed or stored)

    async def _find_public_credentials(self) -> Credentials | None:
        found = await self._store.users.find_credentials(ADMIN_USERNAME)
        if found is None:
            return None
        is_public = await self._run_in_thread(
            lambda: self._passwords.verify_password(found.password_hash, PUBLIC_PASSWORD)
        )
        return found if is_public else None

    async def _change_user(
        self, username: str, decide: Callable[[User, int], UserChange], expected_modified: int | None
    ) -> User:
        def decide_if_unchanged(user: User, other_admins: int) -> UserChange:
            check_unchanged(user, expected_modified)
            return decide(user, other_admins)

        changed = await self._store.users.change_user(username, decide_if_unchanged)
        self.keys.clear_cache()
        return changed

    def _stamp_modification(self, user: User, actor: str) -> User:
        # Later than before even where a clock stands still or is set back: who has seen a user tells by it.
        return replace(user, modified=max(self._now(), user.modified + 1), modified_by=actor)

    def _now(self) -> int:
        return self._store.clock.now()

    async def _run_in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _require_other_admin(user: User, other_admins: int) -> None:
    if user.is_acting_admin and not other_admins:
        raise LastAdminError(
            f"{user.username!r} is the last admin who is enabled: without, nobody could administer. "
            "Make another admin first."
        )


def _build_principal(user: User) -> Principal:
    return Principal(user.username, user.role, user.id)
