"""Rules about what is left at the end of a run: nothing is held, nothing waits, and no process has died by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.chaos.evidence import Evidence, ProcessRecord, Workflow
from tests.chaos.findings import Fault
from tests.chaos.model import DECLARED_FAILURES

__all__ = [
    "check_answers",
    "check_doctor",
    "check_leases",
    "check_logs",
    "check_processes",
    "check_progress",
    "find_log_faults",
]

LEASES_WITHOUT_PROGRESS = 3
UNEXPECTED_LINES = re.compile(r"Traceback \(most recent call last\)|never retrieved|was never awaited|\[critical")


def check_leases(evidence: Evidence) -> Iterator[Fault]:
    """Check that no executor holds an instance after all of them have stopped."""
    for workflow in evidence.workflows.values():
        if workflow.executor_id is not None or workflow.status == "EXECUTING":
            yield workflow, f"it is still held by {workflow.executor_id}"


def check_doctor(evidence: Evidence) -> Iterator[Fault]:
    """Check that ``flowlet doctor`` has found nothing."""
    exit_code, output = evidence.doctor
    if exit_code != 0:
        yield f"exit code {exit_code}", output.strip()


def check_progress(evidence: Evidence) -> Iterator[Fault]:
    """Check that every instance has ended; one that is due and has not changed for three leases is stuck."""
    for workflow in evidence.workflows.values():
        if not workflow.has_ended:
            idle_leases = _compute_idle_time(evidence, workflow) / evidence.lease
            is_stuck = idle_leases >= LEASES_WITHOUT_PROGRESS
            yield workflow, f"no progress for {idle_leases:.1f} leases" if is_stuck else "still open at the end"


def check_answers(evidence: Evidence) -> Iterator[Fault]:
    """Check that the API has given no answer that no fault explains."""
    yield from (("the API", problem) for problem in evidence.problems)


def check_processes(evidence: Evidence) -> Iterator[Fault]:
    """Check that each process has ended by the signal that it was sent, and after SIGTERM in good order."""
    for process in evidence.processes:
        expected = _get_expected_exit_code(process)
        if process.exit_code != expected:
            sent = ", ".join(process.signals) or "no signal"
            yield process.name, f"its exit code is {process.exit_code}, not {expected}; it was sent {sent}"


def check_logs(evidence: Evidence) -> Iterator[Fault]:
    """Check that no log has a traceback, but of the failures that the workload declares, or a forgotten coroutine."""
    for process in evidence.processes:
        yield from ((process.name, fault) for fault in find_log_faults(process.log))


def find_log_faults(log: str) -> Iterator[str]:
    """Yield the tracebacks of a log, but of the failures that the workload declares, and forgotten coroutines."""
    lines = log.splitlines()
    for number, text in enumerate(lines):
        if UNEXPECTED_LINES.search(text):
            end = _find_traceback_end(lines, number)
            if lines[end] not in DECLARED_FAILURES:
                before = lines[number - 1] if number else ""
                yield f"line {number + 1} of its log: {before} ... {text} ... {lines[end]}"


def _compute_idle_time(evidence: Evidence, workflow: Workflow) -> int:
    """Return for how many microseconds nothing has happened to an instance although it was due."""
    lines = evidence.lines.get(workflow.id, ())
    last = max([workflow.modified, *(line.at for line in lines)])
    return evidence.now - max(last, workflow.next_activation or 0)


def _get_expected_exit_code(process: ProcessRecord) -> int | None:
    if "SIGKILL" in process.signals:
        return -9
    return 0 if "SIGTERM" in process.signals else None


def _find_traceback_end(lines: list[str], start: int) -> int:
    """Return the number of the last line of a traceback: the first one after it that is not indented."""
    for number in range(start + 1, len(lines)):
        if lines[number] and not lines[number].startswith((" ", "+", "|")):
            return number
    return len(lines) - 1
