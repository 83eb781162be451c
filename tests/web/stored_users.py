"""Users with API keys and sessions, stored in one transaction: a thousand tests of the web begin with some.

One call of ``Users`` for each of them took longer than most of these tests.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

from flowlet.accounts.models import make_username_key
from flowlet.accounts.passwords import PasswordHashing
from flowlet.accounts.roles import Role
from flowlet.auth.api_keys import hash_key
from flowlet.auth.sessions import hash_token
from flowlet.clock import to_microseconds
from flowlet.store.database_session import DatabaseSession
from flowlet.store.opening import Store
from flowlet.store.tables import API_KEY, SESSION, USER

__all__ = ["ADMIN_PASSWORD", "PASSWORD", "StoredUsers", "store_users"]

ADMIN_PASSWORD = "correct horse"
"""Ada's."""
PASSWORD = "a very good password"
"""That of everyone else."""
USER_COLUMNS = USER.omit_columns("id", "version")
KEY_COLUMNS = API_KEY.get_columns("id", "key_hash", "name", "role", "user_id", "created", "created_by")
SESSION_COLUMNS = SESSION.omit_columns("id")
SESSION_LIFETIME = to_microseconds(timedelta(days=7))


@dataclass(frozen=True, slots=True)
class StoredUsers:
    """What users authenticate with.

    Attributes:
        keys: The texts of ada's API keys, by role.
        sessions: The tokens of open sessions, by username.
    """

    keys: dict[str, str]
    sessions: dict[str, str]


async def store_users(
    store: Store, passwords: PasswordHashing, roles: Mapping[str, Role], *, logged_in: Collection[str] = ()
) -> StoredUsers:
    """Store ada, an admin who is logged in and has an API key of each role, and other users.

    Args:
        store: A database without users.
        passwords: Hashes their passwords.
        roles: The other users' roles, by username.
        logged_in: Which of them have a session.
    """
    now = store.clock.now()
    all_roles = {"ada": Role.ADMIN, **roles}
    with_session = ("ada", *logged_in)
    stored = StoredUsers(
        {role.value: f"flk_{secrets.token_hex(4)}_{secrets.token_hex(22)[:43]}" for role in Role},
        {username: secrets.token_urlsafe(32) for username in with_session},
    )
    users = []
    for username, role in all_roles.items():
        password_hash = passwords.hash_password(ADMIN_PASSWORD if username == "ada" else PASSWORD)
        last_login = now if username in with_session else None
        key = make_username_key(username)
        users.append((username, key, password_hash, role.value, 0, now, "test", now, "test", last_login))

    async def insert_rows(session: DatabaseSession) -> None:
        await session.insert_many(USER, USER_COLUMNS, users)
        ids = dict(await session.fetch_rows(f"SELECT username, id FROM {USER}"))
        keys = [
            (text[4:12], hash_key(text), "test", role, ids["ada"], now, "test") for role, text in stored.keys.items()
        ]
        await session.insert_many(API_KEY, KEY_COLUMNS, keys)
        sessions = [
            (hash_token(token), ids[username], now, now, now + SESSION_LIFETIME, "")
            for username, token in stored.sessions.items()
        ]
        await session.insert_many(SESSION, SESSION_COLUMNS, sessions)

    await store.connections.write(insert_rows)
    return stored
