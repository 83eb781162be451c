"""Refused logins in the audit: a bounded number of rows, however many are refused."""

from __future__ import annotations

import logging
import math

from flowlet.accounts.audit import AuditAction, AuditEntry
from flowlet.errors import StoreUnavailableError
from flowlet.store.opening import Store

__all__ = ["RefusedLogins"]

BURST_ROWS = 20
REFILL_SECONDS = 60.0
"""How many rows one process writes at once, and how long until it may write one more: 1,440 a day at most."""

logger = logging.getLogger(__name__)


class RefusedLogins:
    """Records refused logins.

    A row names the user only if there is one of that name: people type passwords into the wrong field. Those that are
    not recorded are counted, and the next row says how many they were.

    Args:
        store: The database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows_left = float(BURST_ROWS)
        self._refilled_at = store.clock.monotonic()
        self._unrecorded_count = 0

    async def record(self, username: str, reason: str) -> None:
        """Record a refused login, unless too many were recorded lately. A database that is away is no error here.

        Args:
            username: The name that was given.
            reason: Why it was refused.
        """
        if not self._take_row():
            self._unrecorded_count += 1
            return
        unrecorded, self._unrecorded_count = self._unrecorded_count, 0
        detail = f"{reason}; {unrecorded:,} more before it are not listed" if unrecorded else reason
        try:
            found = await self._store.users.find_credentials(username)
            name = found.user.username if found else ""
            entry = AuditEntry(name, AuditAction.LOGIN_REFUSED, name or "unknown user", detail)
            await self._store.audit.write(entry, now=self._store.clock.now())
        except StoreUnavailableError:
            self._unrecorded_count += unrecorded + 1
            logger.warning("a refused login could not be recorded: the database is away")

    def _take_row(self) -> bool:
        now = self._store.clock.monotonic()
        self._rows_left = min(BURST_ROWS, self._rows_left + (now - self._refilled_at) / REFILL_SECONDS)
        self._refilled_at = now
        if math.floor(self._rows_left) < 1:
            return False
        self._rows_left -= 1
        return True
