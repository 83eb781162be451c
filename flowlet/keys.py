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

from flowlet.accounts import ApiKey, checked_name
from flowlet.clock import microseconds
from flowlet.errors import StoreUnavailableError, UnknownKeyError, UserError
from flowlet.roles import Principal, Role
from flowlet.store.keys import NewKey
from flowlet.store.opening import Store

__all__ = ["ApiKeys", "MadeKey", "checked_expiry"]

_LOWER, _LETTERS = string.ascii_lowercase + string.digits, string.ascii_letters + string.digits
_ID_LENGTH, _SECRET_LENGTH = 8, 43
_KEY = re.compile(rf"flk_([a-z0-9]{{{_ID_LENGTH}}})_[A-Za-z0-9]{{{_SECRET_LENGTH}}}")
_SHOWN = re.compile(rf"(?:flk_)?([a-z0-9]{{{_ID_LENGTH}}})(?:_[A-Za-z0-9]*)?")
_MINUTE = microseconds(timedelta(minutes=1))
_LONGEST = timedelta(days=3660)
_TRIES = 5
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A new API key, and its text: to be shown now, because nothing can show it later."""

    key: ApiKey
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Known:
    """Who a key was found to be, and until when that is believed and holds, in microseconds since 1970 UTC."""

    principal: Principal
    believed_until: int
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

    def __init__(self, store: Store, *, believed: timedelta = timedelta(seconds=1), kept: int = 1_000) -> None:
        self._store = store
        self._believed = microseconds(believed)
        self._kept = kept
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._changes = 0

    async def add(
        self,
        name: str,
        *,
        username: str,
        role: Role,
        by: str,
        expires: timedelta | None = None,
        newest: str | None = None,
    ) -> MadeKey:
        """Make a key for a user.

        Args:
            name: What people call it, 1 to 120 characters; need not be unique.
            username: Its owner: in the histories stands this name.
            role: What it may do; at most what its owner may.
            by: Who makes it.
            expires: After how long it ends, at most ten years; None for never.
            newest: What ``newest`` has to return of who makes it still; None for whatever it does.

        Raises:
            UnknownUserError: If there is no such owner.
            UserError: If the name or the expiry cannot be used, or the owner is disabled or has a lesser role.
            StaleError: If who makes it has made another one than ``newest`` last.
            StoreUnavailableError: If the database is away.
        """
        name = checked_name(name, "an API key's name")
        expires = None if expires is None else checked_expiry(expires)
        owner = await self._store.users.get(username)
        now = self._store.clock.now()
        until = None if expires is None else now + microseconds(expires)
        for _ in range(_TRIES):
            id = "".join(secrets.choice(_LOWER) for _ in range(_ID_LENGTH))
            text = f"flk_{id}_{''.join(secrets.choice(_LETTERS) for _ in range(_SECRET_LENGTH))}"
            new = NewKey(id, _hash(text), name, role, owner.id, until, by, newest)
            if await self._store.keys.insert(new, now=now):
                logger.info("%s made the API key %s (%s) of %s as %s", by, id, name, owner.username, role)
                return MadeKey(await self._store.keys.get(id), text)
        raise AssertionError(f"{_TRIES} random ids in a row are in use")

    async def key(self, text: str) -> Principal | None:
        """Return who a key stands for, or None: unknown, revoked, expired, or of a user who is disabled.

        Raises:
            StoreUnavailableError: If the database is away. That says nothing about the key.
        """
        match = _KEY.fullmatch(text)
        if match is None:
            return None
        digest = _hash(text)
        known = self._known.get(digest)
        now = self._store.clock.now()
        if known is None or now >= known.believed_until:
            known = await self._look_up(match[1], digest, now)
        if known is None or (known.expires is not None and now >= known.expires):
            return None
        return known.principal

    async def revoke(self, id: str, *, by: str) -> ApiKey:
        """Revoke a key for good, and return it. One that is revoked already stays as it is.

        Args:
            id: Its id; what stands around it in the key's text is ignored, and shown in no message.
            by: Who revokes it.

        Raises:
            UnknownKeyError: If there is none.
            StoreUnavailableError: If the database is away.
        """
        match = _SHOWN.fullmatch(id)
        if match is None:
            raise UnknownKeyError(
                "that is not an API key's id: expected 8 small letters and digits. Run: flowlet key list"
            )
        await self._store.keys.get(match[1])
        await self._store.keys.revoke(match[1], by=by, now=self._store.clock.now())
        self.forget()
        logger.info("%s revoked the API key %s", by, match[1])
        return await self._store.keys.get(match[1])

    async def list(self, username: str | None = None) -> Sequence[ApiKey]:
        """Return the keys of a user, or of all, the newest first; revoked and expired ones too.

        Raises:
            UnknownUserError: If there is no such user.
        """
        if username is None:
            return await self._store.keys.all()
        return await self._store.keys.of((await self._store.users.get(username)).id)

    async def newest(self, by: str) -> str:
        """Return the id of the key that somebody has made last, "" for none."""
        return await self._store.keys.newest(by)

    def forget(self) -> None:
        """Believe no key any longer without asking the database: something has changed."""
        self._changes += 1
        self._known.clear()

    def __len__(self) -> int:
        return len(self._known)

    async def _look_up(self, id: str, digest: str, now: int) -> _Known | None:
        changes = self._changes
        found = await self._store.keys.find(id)
        if found is None or not hmac.compare_digest(found.key_hash, digest):
            self._known.pop(digest, None)
            return None
        known = _Known(found.principal, now + self._believed, found.expires)
        if changes == self._changes:  # else what was read may be older than the change
            self._remember(digest, known)
        is_live = found.expires is None or now < found.expires
        if is_live and (found.last_used is None or now - found.last_used >= _MINUTE):
            with suppress(StoreUnavailableError):  # a program is not kept out because a note cannot be written
                await self._store.keys.touch(id, now=now, unused_since=now - _MINUTE)
        return known

    def _remember(self, digest: str, known: _Known) -> None:
        self._known[digest] = known
        self._known.move_to_end(digest)
        if len(self._known) > self._kept:
            self._known.popitem(last=False)


def checked_expiry(expires: timedelta) -> timedelta:
    """Return after how long a key ends.

    Raises:
        UserError: If it is no time at all, or more than ten years.
    """
    if not timedelta(0) < expires <= _LONGEST:
        raise UserError(f"a key expires after more than nothing and at most {_LONGEST.days} days, not {expires}.")
    return expires


def _hash(text: str) -> str:
    # Fast on purpose: there is nothing to guess in 256 random bits.
    return sha256(text.encode()).hexdigest()
