"""A copy of a clean run, which a test breaks in one place."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.chaos.director import RunResult
from tests.chaos.evidence import Evidence, LaneWindow, ProcessRecord, read_evidence
from tests.chaos.raw_database import RawDatabase

__all__ = ["CleanRun", "Scratch"]

MAX_TIME = 2**62


class CleanRun:
    """A run without faults on SQLite, and the folder with its database and its effects file."""

    def __init__(self, folder: Path, result: RunResult) -> None:
        self.folder = folder
        self.result = result


class Scratch:
    """A copy of a clean run, to be broken and read again.

    Args:
        run: The clean run.
        folder: Where the copy is put.
    """

    def __init__(self, run: CleanRun, folder: Path) -> None:
        self.database = RawDatabase(f"sqlite:///{shutil.copy(run.folder / 'flowlet.db', folder)}")
        self._effects_file = Path(shutil.copy(run.folder / "effects", folder))
        self._evidence = run.result.evidence

    def execute(self, *statements: str) -> None:
        """Change rows.

        Raises:
            AssertionError: If nothing has changed.
        """
        with self.database.open_session() as session:
            for sql in statements:
                before = session.fetch("SELECT total_changes()")
                session.execute(sql)
                assert session.fetch("SELECT total_changes()") != before, f"changes no row: {sql}"

    def change_effects(self, change: Callable[[list[str]], list[str]]) -> None:
        """Change the lines of the effects file."""
        lines = self._effects_file.read_text().splitlines()
        changed = change(list(lines))
        assert changed != lines
        self._effects_file.write_text("\n".join([*changed, ""]))

    def request(self, external_id: str) -> None:
        """Note a create as requested."""
        self._evidence = replace(self._evidence, requested=self._evidence.requested | {external_id})

    def record_process(self, exit_code: int | None, *signals: str, log: str = "") -> None:
        """Add a process to those of the run."""
        record = ProcessRecord("executor-9", 1, exit_code, signals, log)
        self._evidence = replace(self._evidence, processes=[*self._evidence.processes, record])

    def record_lane_window(self, kind: str, name: str) -> None:
        """Note a lane as paused for the whole run."""
        window = LaneWindow(kind, name, 0, MAX_TIME)
        self._evidence = replace(self._evidence, lane_windows=[*self._evidence.lane_windows, window])

    def record_problem(self, problem: str) -> None:
        """Add an answer that no fault explains."""
        self._evidence = replace(self._evidence, problems=[*self._evidence.problems, problem])

    def record_doctor(self, exit_code: int, output: str) -> None:
        """Note what ``flowlet doctor`` says about the copy."""
        self._evidence = replace(self._evidence, doctor=(exit_code, output))

    def read_evidence(self) -> Evidence:
        """Return the evidence of the copy: what the files hold now, and the rest as the clean run has left it."""
        old = self._evidence
        return read_evidence(
            self.database,
            self._effects_file,
            acknowledged=old.acknowledged,
            requested=old.requested,
            operations=old.operations,
            problems=old.problems,
            processes=old.processes,
            lane_windows=old.lane_windows,
            doctor=old.doctor,
            lease=old.lease,
        )
