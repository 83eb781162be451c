"""Progress of long commands: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from flowlet.cli.tables import create_console
from flowlet.clock import StoreClock

__all__ = ["ProgressReport"]

SECONDS_PER_LINE = 5.0


class ProgressReport:
    """Shows on stderr how far a command is: what it prints on stdout may be JSON.

    Args:
        activity: What the command does: "Exporting trees".
        total: How much there is to do; None if that is not known.
    """

    def __init__(self, activity: str, *, total: int | None = None) -> None:
        self._activity = activity
        self._total = total
        self._clock = StoreClock()
        self._said_at = self._clock.monotonic()
        self._console = create_console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._bar = Progress(
            *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=self._console, transient=True
        )
        self._task = self._bar.add_task(activity, total=total)

    def update(self, done: int) -> None:
        """Say how much is done now, of all there is to do."""
        if self._console.is_terminal:
            self._bar.update(self._task, completed=done)
        elif self._clock.monotonic() - self._said_at >= SECONDS_PER_LINE:
            self._said_at = self._clock.monotonic()
            total = "" if self._total is None else f" of {self._total:,}"
            click.echo(f"{self._activity}: {done:,}{total}", err=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()
