"""The faults of the schedules that a workflow module declares, each with its line and the likely cure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flowlet.definition.definition import Definition
from flowlet.definition.module_source import ModuleSource
from flowlet.definition.schedules.schedule_definition import ScheduleDefinition, build_schedule_definition
from flowlet.errors import Fault, VariablesError
from flowlet.workflow.schedule import Schedule, find_schedule_faults

__all__ = ["find_declared_schedule_faults", "read_schedules"]

_PYTHON_NAMES = {"catchUp": "catch_up"}


def find_declared_schedule_faults(source: ModuleSource) -> Iterator[Fault]:
    """Yield the faults of ``Workflow(schedules=[...])``, but those of variables: these need the definition."""
    if source.workflow is None:
        return
    given = source.workflow.schedules
    if not isinstance(given, tuple):
        cure = "Give a list: schedules=[Schedule('0 3 * * *', name='nightly')]."
        message = f"schedules of Workflow({source.name!r}) is an object of {type(given).__name__}, not a list."
        yield Fault(source.file, source.line, f"{message}\n{cure}")
        return
    lines: dict[str, int] = {}
    for schedule in given:
        if not isinstance(schedule, Schedule):
            message = f"schedules of Workflow({source.name!r}) has an object of {type(schedule).__name__}."
            yield Fault(source.file, source.line, f"{message}\nGive Schedule('0 3 * * *', name='nightly').")
            continue
        faults = find_schedule_faults(schedule)
        yield from _build_faults(source.file, schedule, faults)
        if "name" in faults:
            continue
        if schedule.name in lines:
            message = f"the schedule {schedule.name!r} is declared twice, and first at line {lines[schedule.name]}."
            cure = "Rename one of them: a schedule's name is unique over all workflows."
            yield Fault(source.file, schedule.line, f"{message}\n{cure}")
        lines.setdefault(schedule.name, schedule.line)


def read_schedules(
    definition: Definition, declared: Iterable[Schedule]
) -> tuple[tuple[ScheduleDefinition, ...], list[Fault]]:
    """Return the schedules that a definition's module declares, and the faults of their variables.

    Args:
        definition: The definition, whose model their variables have to fit.
        declared: The schedules, without other faults.
    """
    found: list[ScheduleDefinition] = []
    faults: list[Fault] = []
    for schedule in declared:
        try:
            found.append(build_schedule_definition(definition, schedule))
        except VariablesError as error:
            faults += _build_faults(definition.file, schedule, error.faults)
    return tuple(found), faults


def _build_faults(file: str, schedule: Schedule, faults: dict[str, str]) -> Iterator[Fault]:
    for field, fault in faults.items():
        name = _PYTHON_NAMES.get(field, field)
        yield Fault(file, schedule.line, f"{name} of the schedule {str(schedule.name)[:60]!r} {_join(fault)}")


def _join(fault: str) -> str:
    """Return a fault as the end of a sentence that begins with its field."""
    is_predicate = fault.split(" ", 1)[0] in ("has", "cannot", "begins", "contains")
    return f"{fault}." if is_predicate else f"cannot be used: {fault}."
