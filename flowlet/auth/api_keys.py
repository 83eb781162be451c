"""API keys, with which programs authenticate. A key is shown once, when it is created; only its hash is stored."""

from __future__ import annotations

import hmac
import logging
import re
import secrets
import string
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256

from flowlet.accounts.models import ApiKey, normalize_name
from flowlet.accounts.roles import Principal, Role
from flowlet.clock import to_microseconds
from flowlet.errors import StoreUnavailableError, UnknownKeyError, UserError
from flowlet.store.api_keys import NewApiKey
from flowlet.store.opening import Store

__all__ = ["ApiKeys", "IssuedApiKey", "hash_key", "validate_lifetime"]

_LOWER, _LETTERS = string.ascii_lowercase + string.digits, string.ascii_letters + string.digits
_ID_LENGTH, _SECRET_LENGTH = 8, 43
_KEY_PATTERN = re.compile(rf"flk_([a-z0-9]{{{_ID_LENGTH}}})_[A-Za-z0-9]{{{_SECRET_LENGTH}}}")
_KEY_OR_ID_PATTERN = re.compile(rf"(?:flk_)?([a-z0-9]{{{_ID_LENGTH}}})(?:_[A-Za-z0-9]*)?")
_MICROSECONDS_PER_MINUTE = to_microseconds(timedelta(minutes=1))
_MAX_LIFETIME = timedelta(days=3660)
_MAX_TRIES = 5
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IssuedApiKey:
    """A new API key and its text, which has to be shown now: it is not stored."""

    key: ApiKey
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _CachedKey:
    """The principal of a key, until when it is cached, and when the key expires, in microseconds since 1970 UTC."""

    principal: Principal
    cached_until: int
    expires: int | None


class ApiKeys:
    """Creates, revokes and authenticates API keys: ``flk_``, eight characters of id, ``_``, and 256 random bits.

    An authenticated key is cached for a second, without another read of the database. A change in this process
    (revoking the key; disabling, deleting or demoting its owner) takes effect at once; a change in another process
    takes effect within a second.

    Args:
        store: The database.
        cache_ttl: How long a key is cached.
        cache_size: How many keys are cached; the key that was authenticated longest ago is dropped first.
    """

    def __init__(self, store: Store, *, cache_ttl: timedelta = timedelta(seconds=1), cache_size: int = 1_000) -> None:
        self._store = store
        self._cache_ttl = to_microseconds(cache_ttl)
        self._cache_size = cache_size
        self._cache: OrderedDict[str, _CachedKey] = OrderedDict()
        self._cache_generation = 0

    async def create(
        self,
        name: str,
        *,
        username: str,
        role: Role,
        actor: str,
        lifetime: timedelta | None = None,
        may_act_on_behalf: bool = False,
        expected_version: int | None = None,
    ) -> IssuedApiKey:
        """Create an API key for a user.

        Args:
            name: A label for people, 1 to 120 characters; need not be unique.
            username: The owner, under whose name the key's operations are recorded.
            role: What the key may do; at most what its owner may.
            actor: Who creates the key.
            lifetime: How long until it expires, at most ten years; None for never.
            may_act_on_behalf: Whether it may act on behalf of other persons; only admins may decide that.
            expected_version: What ``get_list_version(actor)`` returned to the caller; None for any. A form that is sent
                twice creates one key.

        Raises:
            UnknownUserError: If there is no such owner.
            UserError: If the name or the lifetime cannot be used, or the owner is disabled or has a lower role.
            StaleError: If ``actor`` has created another key since.
            StoreUnavailableError: If the database cannot be reached.
        """
        name = normalize_name(name, "an API key's name")
        lifetime = None if lifetime is None else validate_lifetime(lifetime)
        owner = await self._store.users.get(username)
        now = self._store.clock.now()
        until = None if lifetime is None else now + to_microseconds(lifetime)
        for _ in range(_MAX_TRIES):
            id = "".join(secrets.choice(_LOWER) for _ in range(_ID_LENGTH))
            text = f"flk_{id}_{''.join(secrets.choice(_LETTERS) for _ in range(_SECRET_LENGTH))}"
            new = NewApiKey(id, hash_key(text), name, role, owner.id, until, actor, expected_version, may_act_on_behalf)
            if await self._store.api_keys.insert(new, now=now):
                logger.info(
                    "%s created the API key %s (%s) of %s with the role %s", actor, id, name, owner.username, role
                )
                return IssuedApiKey(await self._store.api_keys.get(id), text)
        raise AssertionError(f"{_MAX_TRIES} random ids in a row are in use")

    async def authenticate_key(self, text: str) -> Principal | None:
        """Return the principal of a key; None if it is unknown, revoked or expired, or its owner is disabled.

        Raises:
            StoreUnavailableError: If the database cannot be reached. The key may be valid.
        """
        match = _KEY_PATTERN.fullmatch(text)
        if match is None:
            return None
        digest = hash_key(text)
        known = self._cache.get(digest)
        now = self._store.clock.now()
        if known is None or now >= known.cached_until:
            known = await self._read_key(match[1], digest, now)
        if known is None or (known.expires is not None and now >= known.expires):
            return None
        return known.principal

    async def revoke(self, id: str, *, actor: str, expected_version: int | None = None) -> ApiKey:
        """Revoke a key permanently, and return it. A key that is already revoked stays as it is.

        Args:
            id: The key's id; also the key's whole text, of which no message shows more than the id.
            actor: Who revokes it.
            expected_version: The version of the key that the caller has read; None for any.

        Raises:
            UnknownKeyError: If there is no such key.
            StaleError: If the key has another version than expected.
            StoreUnavailableError: If the database cannot be reached.
        """
        match = _KEY_OR_ID_PATTERN.fullmatch(id)
        if match is None:
            raise UnknownKeyError(
                "this is not the id of an API key: expected 8 lowercase letters and digits. Run: flowlet key list"
            )
        await self._store.api_keys.revoke(
            match[1], revoked_by=actor, now=self._store.clock.now(), expected_version=expected_version
        )
        self.clear_cache()
        logger.info("%s revoked the API key %s", actor, match[1])
        return await self._store.api_keys.get(match[1])

    async def list_keys(self, username: str | None = None) -> Sequence[ApiKey]:
        """Return the keys of a user, or of all users, the newest first, including revoked and expired ones.

        Raises:
            UnknownUserError: If there is no such user.
        """
        if username is None:
            return await self._store.api_keys.list_all()
        return await self._store.api_keys.list_for_user((await self._store.users.get(username)).id)

    async def get_list_version(self, actor: str) -> int:
        """Return the version of the list of keys that ``actor`` has created: how many there are."""
        return await self._store.api_keys.count_created_by(actor)

    def clear_cache(self) -> None:
        """Drop all cached keys: a key or its owner has changed."""
        self._cache_generation += 1
        self._cache.clear()

    def __len__(self) -> int:
        return len(self._cache)

    async def _read_key(self, id: str, digest: str, now: int) -> _CachedKey | None:
        changes = self._cache_generation
        found = await self._store.api_keys.find(id)
        if found is None or not hmac.compare_digest(found.key_hash, digest):
            self._cache.pop(digest, None)
            return None
        known = _CachedKey(found.principal, now + self._cache_ttl, found.expires)
        if changes == self._cache_generation:  # otherwise the key may have been read before the change
            self._add_to_cache(digest, known)
        is_live = found.expires is None or now < found.expires
        if is_live and (found.last_used is None or now - found.last_used >= _MICROSECONDS_PER_MINUTE):
            with suppress(StoreUnavailableError):  # a program is not rejected because its use cannot be recorded
                await self._store.api_keys.record_use(id, now=now, unused_since=now - _MICROSECONDS_PER_MINUTE)
        return known

    def _add_to_cache(self, digest: str, known: _CachedKey) -> None:
        self._cache[digest] = known
        self._cache.move_to_end(digest)
        if len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)


def validate_lifetime(lifetime: timedelta) -> timedelta:
    """Return a key's lifetime.

    Raises:
        UserError: If it is not positive, or more than ten years.
    """
    if not timedelta(0) < lifetime <= _MAX_LIFETIME:
        raise UserError(f"a key's lifetime is more than 0 and at most {_MAX_LIFETIME.days:,} days, not {lifetime}.")
    return lifetime


def hash_key(text: str) -> str:
    """Return the hash of a key, which is what the table stores."""
    # A fast hash suffices: 256 random bits cannot be guessed.
    return sha256(text.encode()).hexdigest()
