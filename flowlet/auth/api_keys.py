"""API keys: what lets a program in. A key is shown once, when it is made; what is stored does not give it away."""

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

__all__ = ["ApiKeys", "IssuedApiKey", "validate_lifetime"]

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
    """A new API key, and its text: to be shown now, because nothing can show it later."""

    key: ApiKey
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _CachedKey:
    """Who a key was found to be, and until when that is believed and holds, in microseconds since 1970 UTC."""

    principal: Principal
    cached_until: int
    expires: int | None


class ApiKeys:
    """Makes, revokes and recognises API keys: ``flk_``, eight characters of id, ``_``, and 256 random bits.

    A key that was recognised is believed for a second without asking the database again. So what is done here
    (revoking, disabling, deleting or demoting the owner) acts at once, and what another process does, after a second
    at most.

    Args:
        store: The database.
        believed: How long a key is believed.
        kept: How many are at once; beyond, the one that was recognised longest ago is forgotten.
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
        expected_newest_id: str | None = None,
    ) -> IssuedApiKey:
        """Make a key for a user.

        Args:
            name: What people call it, 1 to 120 characters; need not be unique.
            username: Its owner: in the histories stands this name.
            role: What it may do; at most what its owner may.
            actor: Who makes it.
            lifetime: After how long it ends, at most ten years; None for never.
            expected_newest_id: What ``expected_newest_id`` has to return of who makes it still; None for whatever it does.

        Raises:
            UnknownUserError: If there is no such owner.
            UserError: If the name or the expiry cannot be used, or the owner is disabled or has a lesser role.
            StaleError: If who makes it has made another one than ``expected_newest_id`` last.
            StoreUnavailableError: If the database is away.
        """
        name = normalize_name(name, "an API key's name")
        lifetime = None if lifetime is None else validate_lifetime(lifetime)
        owner = await self._store.users.get(username)
        now = self._store.clock.now()
        until = None if lifetime is None else now + to_microseconds(lifetime)
        for _ in range(_MAX_TRIES):
            id = "".join(secrets.choice(_LOWER) for _ in range(_ID_LENGTH))
            text = f"flk_{id}_{''.join(secrets.choice(_LETTERS) for _ in range(_SECRET_LENGTH))}"
            new = NewApiKey(id, _hash_key(text), name, role, owner.id, until, actor, expected_newest_id)
            if await self._store.api_keys.insert(new, now=now):
                logger.info("%s made the API key %s (%s) of %s as %s", actor, id, name, owner.username, role)
                return IssuedApiKey(await self._store.api_keys.get(id), text)
        raise AssertionError(f"{_MAX_TRIES} random ids in a row are in use")

    async def authenticate_key(self, text: str) -> Principal | None:
        """Return who a key stands for, or None: unknown, revoked, expired, or of a user who is disabled.

        Raises:
            StoreUnavailableError: If the database is away. That says nothing about the key.
        """
        match = _KEY_PATTERN.fullmatch(text)
        if match is None:
            return None
        digest = _hash_key(text)
        known = self._cache.get(digest)
        now = self._store.clock.now()
        if known is None or now >= known.cached_until:
            known = await self._read_key(match[1], digest, now)
        if known is None or (known.expires is not None and now >= known.expires):
            return None
        return known.principal

    async def revoke(self, id: str, *, actor: str) -> ApiKey:
        """Revoke a key for good, and return it. One that is revoked already stays as it is.

        Args:
            id: Its id; what stands around it in the key's text is ignored, and shown in no message.
            actor: Who revokes it.

        Raises:
            UnknownKeyError: If there is none.
            StoreUnavailableError: If the database is away.
        """
        match = _KEY_OR_ID_PATTERN.fullmatch(id)
        if match is None:
            raise UnknownKeyError(
                "that is not an API key's id: expected 8 small letters and digits. Run: flowlet key list"
            )
        await self._store.api_keys.get(match[1])
        await self._store.api_keys.revoke(match[1], revoked_by=actor, now=self._store.clock.now())
        self.clear_cache()
        logger.info("%s revoked the API key %s", actor, match[1])
        return await self._store.api_keys.get(match[1])

    async def list_keys(self, username: str | None = None) -> Sequence[ApiKey]:
        """Return the keys of a user, or of all, the newest first; revoked and expired ones too.

        Raises:
            UnknownUserError: If there is no such user.
        """
        if username is None:
            return await self._store.api_keys.list_all()
        return await self._store.api_keys.list_for_user((await self._store.users.get(username)).id)

    async def get_newest_id(self, actor: str) -> str:
        """Return the id of the key that somebody has made last, "" for none."""
        return await self._store.api_keys.find_newest_id(actor)

    def clear_cache(self) -> None:
        """Believe no key any longer without asking the database: something has changed."""
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
        if changes == self._cache_generation:  # else what was read may be older than the change
            self._add_to_cache(digest, known)
        is_live = found.expires is None or now < found.expires
        if is_live and (found.last_used is None or now - found.last_used >= _MICROSECONDS_PER_MINUTE):
            with suppress(StoreUnavailableError):  # a program is not kept out because a note cannot be written
                await self._store.api_keys.record_use(id, now=now, unused_since=now - _MICROSECONDS_PER_MINUTE)
        return known

    def _add_to_cache(self, digest: str, known: _CachedKey) -> None:
        self._cache[digest] = known
        self._cache.move_to_end(digest)
        if len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)


def validate_lifetime(lifetime: timedelta) -> timedelta:
    """Return after how long a key ends.

    Raises:
        UserError: If it is no time at all, or more than ten years.
    """
    if not timedelta(0) < lifetime <= _MAX_LIFETIME:
        raise UserError(f"a key expires after more than nothing and at most {_MAX_LIFETIME.days} days, not {lifetime}.")
    return lifetime


def _hash_key(text: str) -> str:
    # Fast on purpose: there is nothing to guess in 256 random bits.
    return sha256(text.encode()).hexdigest()
