"""Users: who can log in, and with which role. Every change is one transaction, and the log names who made it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from flowlet.accounts.audit import AuditAction, AuditEntry
from flowlet.accounts.models import User, normalize_name
from flowlet.accounts.passwords import Argon2PasswordHashing, PasswordHashing, generate_password, normalize_password
from flowlet.accounts.roles import Principal, Role
from flowlet.auth.api_keys import ApiKeys
from flowlet.auth.password_worker import PasswordWorker
from flowlet.auth.refused_logins import RefusedLogins
from flowlet.auth.sessions import Sessions, hash_token
from flowlet.errors import LastAdminError
from flowlet.store.opening import Store
from flowlet.store.optimistic_lock import check_version
from flowlet.store.users import Credentials, NewUser, UserChange

__all__ = ["ADMIN_USERNAME", "PUBLIC_PASSWORD", "Users"]

ADMIN_USERNAME = "admin"  # of the first admin
PUBLIC_PASSWORD = "admin"  # noqa: S105  # not a secret, and not treated as one
"""The admin's password in the demo, which only this machine can reach: it is public."""
logger = logging.getLogger(__name__)


class Users:
    """Creates, changes and authenticates users, with their sessions and API keys.

    Once there has been an admin who can log in, there always is one. Usernames are unique and are found regardless of
    case. Every method raises ``StoreUnavailableError`` if the database cannot be reached; and ``StaleError``, without a
    change, if the user has another version than ``expected_version``.

    Args:
        store: The database.
        passwords: Hashes the passwords.
        session_idle: As ``idle_timeout`` of ``Sessions``.
        session_lifetime: As ``lifetime`` of ``Sessions``.

    Attributes:
        sessions: The sessions of users.
        keys: The API keys of users.
        refused_logins: Records refused logins.
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
        self._passwords = PasswordWorker(passwords or Argon2PasswordHashing())
        self.sessions = Sessions(store, idle_timeout=session_idle, lifetime=session_lifetime)
        self.keys = ApiKeys(store)
        self.refused_logins = RefusedLogins(store)

    def close(self) -> None:
        """Let the threads that hash passwords end."""
        self._passwords.close()

    async def create(self, username: str, password: str, role: Role, *, actor: str, is_disabled: bool = False) -> User:
        """Create a user.

        Args:
            username: 1 to 120 printable characters, with no space at either end.
            password: 8 to 1,000 characters; only its hash is stored.
            role: What the user may do.
            actor: Who creates the user.
            is_disabled: Whether the user is created disabled.

        Raises:
            UserError: If the username or the password cannot be used.
            UserExistsError: If the username is taken, in upper or lower case.
        """
        username, password = normalize_name(username), normalize_password(password)
        new = NewUser(username, role, await self._passwords.hash_password(password), actor, is_disabled)
        made = await self._store.users.insert(new, now=self._now())
        logger.info("%s created the user %s with the role %s", actor, username, role)
        return made

    async def ensure_admin(self, password: str | None = None) -> str | None:
        """Create the user ``admin`` if there are no users. Of many processes that start at once, one creates it.

        Args:
            password: The password; None for a random one. May have fewer than 8 characters: the setting
                FLOWLET_ADMIN_PASSWORD is validated already, and the demo's password is public.

        Returns:
            The password, to be shown once; None if there already are users.

        Raises:
            UserError: If the password is empty, too long, or contains control characters.
        """
        if not await self._store.users.is_empty():
            return None
        chosen = normalize_password(generate_password() if password is None else password, min_length=1)
        password_hash = await self._passwords.hash_password(chosen)
        new = NewUser(ADMIN_USERNAME, Role.ADMIN, password_hash, created_by="flowlet")
        if await self._store.users.insert_first(new, now=self._now()) is None:
            return None
        logger.info("created the first user, %s", ADMIN_USERNAME)
        return chosen

    async def get(self, username: str) -> User:
        """Return the user with a username, in upper or lower case.

        Raises:
            UnknownUserError: If there is no such user.
        """
        return await self._store.users.get(username)

    async def get_by_id(self, id: int) -> User:
        """Return the user with an id.

        Raises:
            UnknownUserError: If there is no such user.
        """
        return await self._store.users.get_by_id(id)

    async def list_users(self) -> Sequence[User]:
        """Return all users, by name."""
        return await self._store.users.list_all()

    async def set_password(
        self,
        username: str,
        password: str,
        *,
        actor: str,
        except_token: str | None = None,
        expected_version: int | None = None,
    ) -> User:
        """Change a password, and end all sessions of the user except the one with the token ``except_token``.

        Raises:
            UnknownUserError: If there is no such user.
            UserError: If the password cannot be used.
        """
        if expected_version is not None:
            # Before the password is judged: a caller who has read an older version has to read the user again anyway.
            _check_user_version(await self.get(username), expected_version)
        password_hash = await self._passwords.hash_password(normalize_password(password))
        kept = None if except_token is None else hash_token(except_token)

        def decide(user: User, _: int) -> UserChange:
            change = self._build_change(user, actor, "new password", password_hash=password_hash, ends_sessions=True)
            return replace(change, kept_session_hash=kept)

        changed = await self._change_user(username, decide, expected_version)
        logger.info("%s changed the password of %s", actor, changed.username)
        return changed

    async def change_own_password(
        self, username: str, current: str, password: str, *, except_token: str | None = None
    ) -> User | None:
        """Change a user's own password, as ``set_password``; return None, without a change, if ``current`` is wrong.

        Ask ``LoginLimiter`` first: otherwise a person who finds an open session could try passwords here.

        Raises:
            UnknownUserError: If there is no such user.
            UserError: If the new password cannot be used.
        """
        normalize_password(password)
        if await self._verify_credentials(username, current) is None:
            await self.refused_logins.record(username, "wrong current password, for a new one")
            return None
        return await self.set_password(username, password, actor=username, except_token=except_token)

    async def has_public_password(self) -> bool:
        """Return whether the admin has the demo's password."""
        return await self._find_public_credentials() is not None

    async def replace_public_password(self, password: str | None = None) -> str | None:
        """Replace the admin's password if it is the demo's, and end the admin's sessions.

        Of many processes that start at once, one replaces it. The password of a disabled admin is replaced too: the
        admin may be enabled again.

        Args:
            password: The new password; None for a random one.

        Returns:
            The new password, to be shown once; None if the admin has another password, or there is no admin.

        Raises:
            UserError: If the new password cannot be used.
        """
        found = await self._find_public_credentials()
        if found is None:
            return None
        chosen = normalize_password(generate_password() if password is None else password)
        password_hash = await self._passwords.hash_password(chosen)
        if not await self._store.users.replace_password(found, password_hash, modified_by="flowlet", now=self._now()):
            return None  # another process was faster
        logger.warning("the password of %s was the demo's and has been replaced", ADMIN_USERNAME)
        return chosen

    async def set_role(self, username: str, role: Role, *, actor: str, expected_version: int | None = None) -> User:
        """Change a user's role, at once for open sessions and API keys too.

        Raises:
            UnknownUserError: If there is no such user.
            LastAdminError: If the user is the last admin, and the role is another one.
        """

        def decide(user: User, other_admins: int) -> UserChange:
            if role is not Role.ADMIN:
                _require_other_admin(user, other_admins)
            return self._build_change(replace(user, role=role), actor, f"role {user.role} → {role}")

        changed = await self._change_user(username, decide, expected_version)
        logger.info("%s gave %s the role %s", actor, changed.username, role)
        return changed

    async def disable(self, username: str, *, actor: str, expected_version: int | None = None) -> User:
        """Disable a user: sessions end, and logins and API keys are rejected until the user is enabled again.

        Raises:
            UnknownUserError: If there is no such user.
            LastAdminError: If the user is the last admin.
        """

        def decide(user: User, other_admins: int) -> UserChange:
            _require_other_admin(user, other_admins)
            return self._build_change(replace(user, is_disabled=True), actor, "disabled", ends_sessions=True)

        changed = await self._change_user(username, decide, expected_version)
        logger.info("%s disabled %s", actor, changed.username)
        return changed

    async def enable(self, username: str, *, actor: str, expected_version: int | None = None) -> User:
        """Enable a user again, with the same password and API keys as before.

        Raises:
            UnknownUserError: If there is no such user.
        """

        def decide(user: User, _: int) -> UserChange:
            return self._build_change(replace(user, is_disabled=False), actor, "enabled")

        changed = await self._change_user(username, decide, expected_version)
        logger.info("%s enabled %s", actor, changed.username)
        return changed

    async def delete(self, username: str, *, actor: str, expected_version: int | None = None) -> None:
        """Delete a user, with sessions and API keys. Histories keep the username.

        Raises:
            UnknownUserError: If there is no such user.
            LastAdminError: If the user is the last admin.
        """

        def check(user: User, other_admins: int) -> None:
            _check_user_version(user, expected_version)
            _require_other_admin(user, other_admins)

        deleted = await self._store.users.delete(username, check, deleted_by=actor, now=self._now())
        self.keys.clear_cache()
        logger.info("%s deleted %s", actor, deleted.username)

    async def end_sessions(
        self, username: str, *, actor: str, except_token: str | None = None, expected_version: int | None = None
    ) -> User:
        """End all sessions of a user except the one with the token ``except_token``. The version stays the same.

        Raises:
            UnknownUserError: If there is no such user.
        """
        kept = None if except_token is None else hash_token(except_token)

        def decide(user: User, _: int) -> UserChange:
            audit = AuditEntry(actor, AuditAction.USER_LOGGED_OUT, user.username)
            return UserChange(user, ends_sessions=True, kept_session_hash=kept, audit=audit)

        return await self._change_user(username, decide, expected_version)

    async def authenticate(self, username: str, password: str) -> Principal | None:
        """Return the user as a principal if the password is correct and the user is enabled; otherwise None.

        It verifies one hash in every case: its duration reveals no usernames. Ask ``LoginLimiter`` first.
        """
        found = await self._verify_credentials(username, password)
        return None if found is None else found.user.build_principal()

    async def log_in(self, username: str, password: str, *, user_agent: str = "") -> tuple[str, Principal] | None:
        """Authenticate a user and open a session. Return its token and the user as a principal, or None.

        If the password is changed or the user disabled in the meantime, no session is opened.
        """
        found = await self._verify_credentials(username, password)
        if found is None:
            await self.refused_logins.record(username, "wrong username or password")
            return None
        principal = found.user.build_principal()
        token = await self.sessions.open_session(principal, user_agent=user_agent, password_hash=found.password_hash)
        return None if token is None else (token, principal)

    async def _verify_credentials(self, username: str, password: str) -> Credentials | None:
        found = await self._store.users.find_credentials(username)
        is_right = await self._passwords.verify_password(None if found is None else found.password_hash, password)
        if found is None or not is_right or found.user.is_disabled:
            return None
        rehashed = None
        if self._passwords.needs_rehash(found.password_hash):
            rehashed = await self._passwords.hash_password(normalize_password(password, min_length=1))
        user = await self._store.users.record_login(found, new_password_hash=rehashed, now=self._now())
        return None if user is None else Credentials(user, rehashed or found.password_hash)

    async def _find_public_credentials(self) -> Credentials | None:
        found = await self._store.users.find_credentials(ADMIN_USERNAME)
        is_public = found and await self._passwords.verify_password(found.password_hash, PUBLIC_PASSWORD)
        return found if is_public else None

    async def _change_user(
        self, username: str, decide: Callable[[User, int], UserChange], expected_version: int | None
    ) -> User:
        def check_and_decide(user: User, other_admins: int) -> UserChange:
            _check_user_version(user, expected_version)
            return decide(user, other_admins)

        changed = await self._store.users.change_user(username, check_and_decide, now=self._now())
        self.keys.clear_cache()
        return changed

    def _build_change(self, user: User, actor: str, detail: str, **options: Any) -> UserChange:
        changed = replace(user, version=user.version + 1, modified=self._now(), modified_by=actor)
        return UserChange(changed, audit=AuditEntry(actor, AuditAction.USER_CHANGED, user.username, detail), **options)

    def _now(self) -> int:
        return self._store.clock.now()


def _require_other_admin(user: User, other_admins: int) -> None:
    if user.is_acting_admin and not other_admins:
        raise LastAdminError(
            f"{user.username!r} is the last enabled admin, and there has to be one. Make another user an admin first."
        )


def _check_user_version(user: User, expected_version: int | None) -> None:
    check_version(f"the user {user.username!r}", user.version, expected_version, changed_by=user.modified_by)
