"""An attempt: one run of one handler while it runs, with the lines that it logs."""

from __future__ import annotations

from dataclasses import dataclass, field

from flowlet.clock import Clock
from flowlet.engine.plan import Policy
from flowlet.instance.instance import Action, ActionKind, Instance
from flowlet.text import clean_text

__all__ = ["MAX_LOG_LINES", "Attempt", "LogLines"]

MAX_LOG_LINES = 1_000
"""How many lines of ``Context.log`` an attempt keeps."""


class LogLines(list[tuple[int, str]]):
    """The lines that a handler logged, with their times: cleaned, and limited in number."""

    __slots__ = ("dropped",)

    def __init__(self) -> None:
        self.dropped = 0

    def append(self, line: tuple[int, str]) -> None:
        """Keep a line; beyond the limit only count it."""
        if len(self) >= MAX_LOG_LINES:
            self.dropped += 1
            return
        super().append((line[0], clean_text(line[1])))


@dataclass(slots=True)
class Attempt:
    """One attempt of a visit of a state.

    Attributes:
        started_elapsed: The clock's monotonic seconds at its beginning.
        ended_at: When it ended, in microseconds since 1970 UTC; 0 while it runs.
        duration_ms: How long it took; 0 while it runs.
        username: Who answered, in a manual state.
    """

    instance: Instance
    policy: Policy
    executor_id: str
    started_elapsed: float
    ended_at: int = 0
    duration_ms: int = 0
    username: str | None = None
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
