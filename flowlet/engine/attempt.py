"""An attempt: one run of one handler while it runs, with the lines that it logs."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any

from flowlet.clock import Clock
from flowlet.engine.plan import Policy
from flowlet.instance.action import Action, ActionKind
from flowlet.instance.instance import Instance
from flowlet.shutdown import are_stop_signals_watched
from flowlet.text import clean_text, mask_secrets

__all__ = ["MAX_LOG_LINES", "Attempt", "LogLines", "ends_process", "take_back_cancellations"]

MAX_LOG_LINES = 1_000
"""How many lines of ``Context.log`` an attempt keeps."""


class LogLines(list[tuple[int, str]]):
    """The lines that a handler logged, with their times: cleaned, without secrets, and limited in number."""

    dropped = 0

    def append(self, line: tuple[int, str]) -> None:
        """Keep a line; beyond the limit only count it."""
        if len(self) >= MAX_LOG_LINES:
            self.dropped += 1
            return
        super().append((line[0], clean_text(mask_secrets(line[1]))))


@dataclass(slots=True)
class Attempt:
    """One attempt of a visit of a state.

    Attributes:
        started_elapsed: The clock's monotonic seconds at its beginning.
        ended_at: When it ended, in microseconds since 1970 UTC; 0 while it runs.
        duration_ms: How long it took; 0 while it runs.
        username: Who answered, in a manual state.
        is_unanswered: Whether it ends the wait of a manual state without an answer.
    """

    instance: Instance
    policy: Policy
    executor_id: str
    started_elapsed: float
    ended_at: int = 0
    duration_ms: int = 0
    username: str | None = None
    is_unanswered: bool = False
    lines: LogLines = field(default_factory=LogLines)

    @property
    def number(self) -> int:
        """Which attempt of this visit it is, counted from 1."""
        return self.instance.attempt + 1

    def end(self, clock: Clock) -> None:
        """Record when it ended, and how long it took."""
        self.ended_at = clock.now()
        self.duration_ms = int((clock.monotonic() - self.started_elapsed) * 1000)

    def build_log_actions(self) -> tuple[Action, ...]:
        """Return the lines that the handler logged, as lines of the history."""
        if not self.lines:
            return ()
        actions = [self._build_log_action(at, text) for at, text in tuple(self.lines)]
        if self.lines.dropped:
            text = f"{self.lines.dropped:,} more lines were dropped: an attempt keeps {MAX_LOG_LINES:,}."
            actions.append(self._build_log_action(self.ended_at, text))
        return tuple(actions)

    def _build_log_action(self, at: int, text: str) -> Action:
        return Action(
            ActionKind.LOG,
            at,
            from_state=self.instance.state,
            text=text,
            attempt=self.number,
            executor_id=self.executor_id,
            version=self.policy.version,
        )


def ends_process(error: BaseException, task: asyncio.Task[Any] | None) -> bool:
    """Return whether an error is not the handler's.

    A ``GeneratorExit`` outside of the activation's task closes the coroutine. A ``KeyboardInterrupt`` is the user's
    Ctrl-C, unless the process receives signals by ``watch_stop_signals``.
    """
    if isinstance(error, GeneratorExit):
        try:
            return asyncio.current_task() is not task
        except RuntimeError:  # no loop runs
            return True
    return isinstance(error, KeyboardInterrupt) and not are_stop_signals_watched()


async def take_back_cancellations(task: asyncio.Task[Any], count: int) -> None:
    """Take back what a handler has cancelled itself, so that it does not interrupt the commit of its attempt."""
    while task.cancelling() > count:
        task.uncancel()
    # Before Python 3.13 a cancellation that was requested and not raised yet survives ``uncancel``.
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(0)  # noqa: TID251 - no time passes
