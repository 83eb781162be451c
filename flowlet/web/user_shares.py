"""Each user's share of what a process has only so many of: event streams, waits, and searches without an index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from flowlet.store.search.page import is_scanning_search
from flowlet.store.search.query import SearchQuery
from flowlet.web.problems import build_rate_limit_error

__all__ = ["EVENT_STREAMS", "SCANNING_SEARCHES", "WAITS", "Share", "UserShares"]


@dataclass(frozen=True, slots=True)
class Share:
    """How many of one kind a user may have open at once in this process, with a key or a session.

    Attributes:
        plural: What it is, in a sentence: "event streams".
        limit: How many at once.
        advice: What to do instead, as a sentence.
        retry_after_seconds: The Retry-After of a request beyond it.
    """

    plural: str
    limit: int
    advice: str
    retry_after_seconds: int


EVENT_STREAMS = Share("event streams", 250, "Follow several workflows by one stream.", 10)
"""A quarter of what all users together may have, and so for waits."""
WAITS = Share("waits", 2_500, "Poll the workflows, or follow their events.", 10)
SCANNING_SEARCHES = Share(
    "searches without an index", 4, "Search by id, externalId, businessKey or status, or one after another.", 1
)


class UserShares:
    """Counts what each user has open in this process."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[Share, str]] = Counter()

    def is_exhausted(self, share: Share, username: str) -> bool:
        """Return whether a user has no place left."""
        return self._counts[share, username] >= share.limit

    def check(self, share: Share, username: str) -> None:
        """Refuse a user who has no place left.

        Raises:
            ProblemError: 429, with Retry-After.
        """
        if self.is_exhausted(share, username):
            raise build_rate_limit_error(
                f"{username!r} has {share.limit:,} {share.plural} open already, and no user may have more. "
                f"{share.advice}",
                retry_after_seconds=share.retry_after_seconds,
            )

    @contextmanager
    def hold(self, share: Share, username: str) -> Iterator[None]:
        """Hold one place for the length of the block.

        Raises:
            ProblemError: 429, if the user has none left.
        """
        self.check(share, username)
        with self.count(share, username):
            yield

    def hold_scan(self, query: SearchQuery, username: str) -> AbstractContextManager[None]:
        """Return ``hold`` of a place for a search if no index finds its matches, and otherwise nothing to hold."""
        return self.hold(SCANNING_SEARCHES, username) if is_scanning_search(query) else nullcontext()

    def count_scan(self, query: SearchQuery, username: str) -> AbstractContextManager[None]:
        """Return the same for what has begun, and goes on even if the user has no place left."""
        return self.count(SCANNING_SEARCHES, username) if is_scanning_search(query) else nullcontext()

    @contextmanager
    def count(self, share: Share, username: str) -> Iterator[None]:
        """Count one place for the length of the block, also beyond the limit."""
        self._counts[share, username] += 1
        try:
            yield
        finally:
            self._counts[share, username] -= 1
            if not self._counts[share, username]:
                del self._counts[share, username]
