"""Ids of history lines that were skipped, and may still appear when their transaction commits."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

__all__ = ["MAX_GAPS", "Gaps"]

MAX_GAPS = 5_000
"""How many skipped ids are looked for at most: the latest ones."""


class Gaps:
    """The skipped ids, in order, each until it appears or is given up."""

    def __init__(self) -> None:
        self._expiry_by_id: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._expiry_by_id)

    @property
    def ids(self) -> list[int]:
        """The skipped ids."""
        return list(self._expiry_by_id)

    def add_missing(self, ids: Iterable[int], *, after: int, expires: float) -> None:
        """Add the ids that are missing between these, which are in order and beyond ``after``."""
        for id in ids:
            # A sequence that was set forward by a billion leaves no room for a look at each.
            self._expiry_by_id.update(dict.fromkeys(range(max(after + 1, id - MAX_GAPS), id), expires))
            after = id
        for forgotten in list(islice(self._expiry_by_id, max(0, len(self._expiry_by_id) - MAX_GAPS))):
            del self._expiry_by_id[forgotten]

    def remove_ids(self, ids: Iterable[int]) -> None:
        """Remove ids that have appeared."""
        for id in ids:
            self._expiry_by_id.pop(id, None)

    def remove_expired(self, now: float) -> None:
        """Give up the ids that have been missing for too long."""
        self.remove_ids([id for id, until in self._expiry_by_id.items() if until <= now])

    def compute_horizon(self, last_read_id: int) -> int:
        """Return the last id below which none is missing, if ``last_read_id`` is the last one that was read."""
        return next(iter(self._expiry_by_id), last_read_id + 1) - 1
