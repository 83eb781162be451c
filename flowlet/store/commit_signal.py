"""The commits of all processes of a database, as one signal: what waits for a commit looks once, when there was one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

from flowlet.errors import StoreUnavailableError
from flowlet.shutdown import BackgroundTask
from flowlet.store.commits import UNKNOWN_COMMIT, Commit
from flowlet.store.connection import Connections
from flowlet.store.dialects.signals import ListenRequest

__all__ = ["DEFAULT_POLL_SECONDS", "CommitSignal"]

MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS, MAX_RETRY_SECONDS = 0.002, 0.05, 1.0
"""Between two notifications of executors' commits. The pauses double as long as commits go on: a busy process sends
twenty a second. They go on doubling, up to a second, while notifications fail."""
MAX_NOTIFIED_COMMITS = 20
"""How many batches of a process notify by themselves, at once and in each second."""
DEFAULT_POLL_SECONDS = 0.2
"""How often a database is polled that neither notifies nor can be watched."""
MIN_RECONNECT_SECONDS, MAX_RECONNECT_SECONDS = 0.02, 1.0
"""After how long a lost connection is made anew; the pauses double while that fails."""
CLOSE_SECONDS = 1.0
"""How long the last notification may take."""

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Subscription:
    """One subscriber; ``is_behind`` says that a poll has found a commit of which it has not been called yet."""

    on_commit: Callable[[Commit], None]
    get_poll_seconds: Callable[[], float]
    rest_seconds: float
    is_claiming: bool
    rests_until: float = 0.0
    is_behind: bool = False

    def take_poll(self, now: float, *, has_commit: bool, has_created: bool) -> None:
        """Call the subscriber if a poll has found a commit since the last call, and that is long enough ago.

        One that claims is called at once for an instance that was created and waits for a claim.
        """
        self.is_behind = self.is_behind or has_commit
        if self.is_behind and (now >= self.rests_until or (has_created and self.is_claiming)):
            self.is_behind, self.rests_until = False, now + self.rest_seconds
            self.on_commit(UNKNOWN_COMMIT)


class _Allowance:
    """How many commits may notify by themselves: so many at once, and as many in each second."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._left = float(limit)
        self._counted_at = 0.0

    def take(self, now: float) -> bool:
        """Return whether another one may; then it is counted."""
        self._left = min(self._limit, self._left + (now - self._counted_at) * self._limit)
        self._counted_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class CommitSignal:
    """Calls its subscribers at every commit of this process, and soon after those of other processes.

    Creates, operations and repairs notify the other processes inside of their own transaction. So do some batches of
    executors, which costs no further statement. Not all do, because PostgreSQL lets only one transaction with a
    notification commit at a time: for the others the signal sends one notification for many commits. One that a dying
    process did not send is lost, so every subscriber also looks from time to time.

    Listening starts with the first subscriber, and ends with ``close``.

    Args:
        connections: The connections of the database.

    Attributes:
        own_executor_ids: The executors of this process, as they say: what they commit is left out by a poll.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._dialect = connections.dialect.signals
        self._subscriptions: set[_Subscription] = set()
        self.own_executor_ids: set[str] = set()
        self._is_listening = self._is_closed = False
        self._pending_groups: set[str] | None = None
        self._send_task = BackgroundTask("commit-sender", self._send_while_pending)
        self._listen_task = BackgroundTask("commit-listener", self._listen)
        self._listen_request = ListenRequest(
            connections.url,
            self._receive_commit,
            self._receive_poll,
            lambda read: connections.read(lambda session: read(session.raw)),
            connections.read_on_writer,
            self.get_poll_seconds,
            self.own_executor_ids,
        )
        self._notifications = _Allowance(MAX_NOTIFIED_COMMITS)
        connections.on_commit = self._publish_commit
        connections.take_notification = self._take_notification

    @property
    def is_listening(self) -> bool:
        """Whether commits of other processes are heard of now."""
        return self._is_listening

    def subscribe(
        self,
        on_commit: Callable[[Commit], None],
        *,
        get_poll_seconds: Callable[[], float] | None = None,
        poll_rest_seconds: float = 0.0,
        is_claiming: bool = False,
    ) -> Callable[[], None]:
        """Call a function at every commit, and return what ends that.

        Args:
            on_commit: Called in the event loop; must not raise.
            get_poll_seconds: Returns how often a database is to be polled that neither notifies nor can be watched;
                five times a second if None.
            poll_rest_seconds: How long at least between two calls for commits that a poll has found: others may let
                the database be polled more often.
            is_claiming: Whether this pause does not hold for instances that were created and wait for a claim.
        """
        get_poll_seconds = get_poll_seconds or _get_default_poll_seconds
        subscription = _Subscription(on_commit, get_poll_seconds, poll_rest_seconds, is_claiming)
        if not self._is_closed:
            self._subscriptions.add(subscription)
        self._listen_task.start()
        self.refresh_poll()
        return lambda: self._subscriptions.discard(subscription)

    def refresh_poll(self) -> None:
        """Poll at once where the database is polled, and ask the subscribers again how often to."""
        self._listen_request.poll_changed.set()

    def get_poll_seconds(self) -> float:
        """Return how often to poll a database that has to be polled; infinity without subscribers."""
        return min((each.get_poll_seconds() for each in self._subscriptions), default=math.inf)

    async def close(self) -> None:
        """Send what has not been sent, and call nothing any more."""
        self._is_closed, self._is_listening = True, False
        self._subscriptions.clear()
        await self._listen_task.close()
        await self._send_task.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._send_pending()

    def _publish_commit(self, commit: Commit) -> None:
        """Call the subscribers for a commit of this process, and notify the others where it has not done so itself."""
        self._call_subscribers(commit)
        if commit.is_notified or not self._dialect.needs_notifications or self._is_closed:
            return
        self._pending_groups = (self._pending_groups or set()) | commit.due_groups
        self._send_task.start()

    def _take_notification(self) -> bool:
        return self._dialect.needs_notifications and self._notifications.take(asyncio.get_running_loop().time())

    def _receive_commit(self, commit: Commit) -> None:
        self._is_listening = True
        self._call_subscribers(commit)

    def _receive_poll(self, has_commit: bool, has_created: bool) -> None:
        self._is_listening = True
        now = asyncio.get_running_loop().time()
        for subscription in list(self._subscriptions):
            subscription.take_poll(now, has_commit=has_commit, has_created=has_created)

    def _call_subscribers(self, commit: Commit) -> None:
        for subscription in list(self._subscriptions):
            subscription.on_commit(commit)

    async def _send_while_pending(self) -> None:
        pause = MIN_PAUSE_SECONDS
        while self._pending_groups is not None:
            longest = MAX_PAUSE_SECONDS if await self._send_pending() else MAX_RETRY_SECONDS
            await _wait_in_real_time(pause)
            pause = min(2 * pause, longest)

    async def _send_pending(self) -> bool:
        """Notify the other processes of the commits that they have not been notified of; return whether they are."""
        groups, self._pending_groups = self._pending_groups, None
        if groups is None:
            return True
        try:
            await self._connections.read(lambda session: self._dialect.send_commit_signal(session.raw, groups))
        except BaseException as error:
            self._pending_groups = groups | (self._pending_groups or set())  # they are notified later
            if not isinstance(error, Exception):
                raise
            logger.debug("cannot notify other processes of a commit: %s", error)
            return False
        return True

    async def _listen(self) -> None:
        """Listen until cancelled; connect again where the connection is lost, the first time almost at once."""
        pause, has_warned = MIN_RECONNECT_SECONDS, False
        while True:
            error: Exception | None = None
            try:
                await self._dialect.listen_for_commits(self._listen_request)
            except asyncio.CancelledError:
                self._is_listening = False
                raise
            except Exception as problem:  # noqa: BLE001 - whatever it is, the subscribers look from time to time
                error = problem
            pause = MIN_RECONNECT_SECONDS if self._is_listening else min(2 * pause, MAX_RECONNECT_SECONDS)
            has_warned, self._is_listening = has_warned and not self._is_listening, False
            if error is not None:
                # A server that has gone is logged as an outage of all. A silent connection may be this one alone.
                is_outage = isinstance(error, OSError | StoreUnavailableError) and not isinstance(error, TimeoutError)
                level = logging.DEBUG if is_outage or has_warned else logging.WARNING
                logger.log(level, "cannot listen for commits: %s", error)
                has_warned |= not is_outage
            await _wait_in_real_time(pause)


async def _wait_in_real_time(seconds: float) -> None:
    """Wait although a test moves the clock by hand: the other processes, and the server, do not know of that clock."""
    await asyncio.sleep(seconds)  # noqa: TID251 - as above


def _get_default_poll_seconds() -> float:
    return DEFAULT_POLL_SECONDS
