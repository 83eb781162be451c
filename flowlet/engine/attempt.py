"""An attempt: one run of one handler while it goes on, with the lines that it writes."""

from __future__ import annotations

from dataclasses import dataclass, field

from flowlet.clock import Clock
from flowlet.engine.plan import Policy
from flowlet.instances import Action, ActionKind, Instance
from flowlet.texts import cleaned

__all__ = ["MAX_LINES", "Attempt", "Lines"]

MAX_LINES = 1_000
"""How many lines of ``Context.log`` an attempt keeps."""


class Lines(list[tuple[int, str]]):
    """The lines that a handler logged, with their times: cleaned, and bounded while they come in."""

    __slots__ = ("dropped",)

    def __init__(self) -> None:
        self.dropped = 0

    def append(self, line: tuple[int, str]) -> None:
        """Keep a line, or count it where an attempt has its fill."""
        if len(self) >= MAX_LINES:
            self.dropped += 1
            return
        super().append((line[0], cleaned(line[1])))


@dataclass(slots=True)
class Attempt:
    """One attempt of a visit of a state.

    Attributes:
        began: The clock's ``elapsed`` at its begin.
        at: When it ended, in microseconds since 1970 UTC; 0 while it runs.
        duration_ms: How long it took; 0 while it runs.
        username: Who answered, in a manual state.
    """

    instance: Instance
    policy: Policy
    executor_id: str
    began: float
    at: int = 0
    duration_ms: int = 0
    username: str | None = None
    lines: Lines = field(default_factory=Lines)

    @property
    def number(self) -> int:
        """Which attempt of this visit it is, counted from 1."""
        return self.instance.attempt + 1

    def end(self, clock: Clock) -> None:
        """Take down when it ended, and how long it took."""
        self.at = clock.now()
        self.duration_ms = int((clock.elapsed() - self.began) * 1000)

    def logged(self) -> tuple[Action, ...]:
        """Return the lines that the handler logged, as lines of the history."""
        if not self.lines:
            return ()
        actions = [self._line(at, text) for at, text in tuple(self.lines)]
        if self.lines.dropped:
            text = f"{self.lines.dropped:,} more lines were dropped: an attempt keeps {MAX_LINES:,}."
            actions.append(self._line(self.at, text))
        return tuple(actions)

    def _line(self, at: int, text: str) -> Action:
        return Action(
            ActionKind.LOG,
            at,
            from_state=self.instance.state,
            text=text,
            attempt=self.number,
            executor_id=self.executor_id,
            version=self.policy.version,
        )
