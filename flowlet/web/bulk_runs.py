"""Bulk operations as runs: each goes on in the background, whatever becomes of its request, and keeps its result."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterable, Sequence

from flowlet.shutdown import cancel_and_wait
from flowlet.web.bulk import MAX_INSTANCES, InstanceOperation, RefusalError, run_operation
from flowlet.web.problems import ProblemError, build_stopping_problem

__all__ = ["MAX_REFUSALS", "BulkRun", "BulkRuns"]

MAX_REFUSALS = 100
"""How many refusals a result lists."""
MAX_IDS_SHOWN = 10
"""How many ids it lists for each reason."""
MAX_KEPT_RUNS = 200
"""How many runs a process keeps: the latest ones."""

logger = logging.getLogger(__name__)


class BulkRun:
    """A bulk operation, and its result so far.

    Attributes:
        id: Its id in this process.
        limit: The largest number of workflows that it is applied to.
        matched: How many workflows it was applied to.
        refusals: The first workflows that refused it.
        refused_counts: The number of refusals by reason.
        refused_ids: The first ids by reason.
        error: The error that ended it; None without one. What was done before it stays done.
    """

    def __init__(
        self, operate: InstanceOperation, ids: AsyncIterable[Sequence[int]], *, subject: str, limit: int
    ) -> None:
        self.id = secrets.token_hex(8)
        self.limit = limit
        self.matched = 0
        self.refusals: list[tuple[int, RefusalError]] = []
        self.refused_counts: dict[str, int] = {}
        self.refused_ids: dict[str, list[int]] = {}
        self.error: Exception | None = None
        self.task = asyncio.create_task(self._run(operate, ids, subject))

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return not self.task.done()

    @property
    def refused_total(self) -> int:
        """How many refused it in all."""
        return sum(self.refused_counts.values())

    @property
    def done_count(self) -> int:
        """How many workflows it has changed."""
        return self.matched - self.refused_total

    @property
    def groups(self) -> list[tuple[str, int, list[int]]]:
        """Each reason with its count and its first ids, the most frequent reason first."""
        groups = ((reason, self.refused_counts[reason], ids) for reason, ids in self.refused_ids.items())
        return sorted(groups, key=lambda group: -group[1])

    def stop(self) -> None:
        """End it where it is: what it has done stays done."""
        if self.is_running:
            self.error = self._build_stop_error()
            self.task.cancel()

    def _build_stop_error(self) -> ProblemError:
        detail = "The server stops, and the operation has ended early: repeat it for the workflows that are left."
        more = {"runId": self.id, "matched": self.matched, "done": self.done_count}
        return ProblemError(build_stopping_problem(detail, **more))

    async def wait(self, seconds: float) -> None:
        """Return when it has ended, or after so many seconds.

        Raises:
            Exception: The error that has ended it.
        """
        await asyncio.wait([self.task], timeout=seconds)
        if self.error is not None:
            raise self.error

    async def _run(self, operate: InstanceOperation, ids: AsyncIterable[Sequence[int]], subject: str) -> None:
        try:
            async for id, refusal in run_operation(operate, ids):
                self._count_workflow(id, refusal)
        except asyncio.CancelledError:
            if self.error is not None:
                self.error = self._build_stop_error()  # it knows by now what it has done
                logger.info("%s was stopped with the server: %d changed, %d refused", subject, *self._counts)
                return
            self.error = RuntimeError(f"{subject} was cancelled before its end")
            raise
        except Exception as error:  # noqa: BLE001 - raised for the request that waits, and kept for the ones that ask
            self.error = error
            logger.warning("%s ended early: %d changed, %d refused: %s", subject, *self._counts, error)
        else:
            logger.info("%s: %d changed, %d refused", subject, *self._counts)

    @property
    def _counts(self) -> tuple[int, int]:
        return self.done_count, self.refused_total

    def _count_workflow(self, id: int, refusal: RefusalError | None) -> None:
        self.matched += 1
        if refusal is None:
            return
        if len(self.refusals) < MAX_REFUSALS:
            self.refusals.append((id, refusal))
        reason = getattr(refusal, "reason", "it does not exist")
        self.refused_counts[reason] = self.refused_counts.get(reason, 0) + 1
        ids = self.refused_ids.setdefault(reason, [])
        ids += [id] if len(ids) < MAX_IDS_SHOWN else []


class BulkRuns:
    """The bulk operations of this process: those that run, and the latest ones that have ended.

    Attributes:
        is_stopped: Whether the server stops.
    """

    def __init__(self) -> None:
        self._runs: dict[str, BulkRun] = {}
        self.is_stopped = False

    def start(
        self,
        operate: InstanceOperation,
        ids: AsyncIterable[Sequence[int]],
        *,
        subject: str,
        limit: int = MAX_INSTANCES,
    ) -> BulkRun:
        """Start a bulk operation.

        Args:
            operate: The operation on one instance.
            ids: The instances, in pages.
            subject: What it is, as a log line begins.
            limit: The largest number of instances that ``ids`` gives.

        Raises:
            ProblemError: 503 if the server stops.
        """
        if self.is_stopped:
            raise ProblemError(
                build_stopping_problem("The server stops, and begins no bulk operation. Nothing changed.")
            )
        run = BulkRun(operate, ids, subject=subject, limit=limit)
        self._runs[run.id] = run
        ended = [id for id, one in self._runs.items() if not one.is_running]
        for id in ended[: max(0, len(self._runs) - MAX_KEPT_RUNS)]:
            del self._runs[id]
        return run

    def stop(self) -> None:
        """End the runs where they are, and let no new one begin: each reports that it was stopped."""
        self.is_stopped = True
        for run in self._runs.values():
            run.stop()

    def find(self, id: str) -> BulkRun | None:
        """Return the run of an id; None if this process has none, or has forgotten it."""
        return self._runs.get(id)

    async def close(self) -> None:
        """End the runs: what they have done stays done."""
        await cancel_and_wait(*(run.task for run in self._runs.values()))
