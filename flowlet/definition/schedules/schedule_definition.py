"""A schedule that has been checked: what its workflow's module declares, or what a person has entered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flowlet.clock import MICROSECONDS_PER_SECOND, to_microseconds
from flowlet.errors import VariablesError
from flowlet.instance.json_text import parse_json
from flowlet.workflow.schedule import CatchUp, Overlap, Schedule, find_schedule_faults
from flowlet.workflow.timetable import Timetable

if TYPE_CHECKING:
    from flowlet.definition.definition import Definition

__all__ = ["ScheduleDefinition", "build_schedule_definition"]


@dataclass(frozen=True, slots=True)
class ScheduleDefinition:
    """When instances of a workflow are created. See ``Schedule`` for the fields.

    Attributes:
        jitter: In microseconds; 0 for none.
        vars_json: The variables of its instances, validated and with the defaults of their model, as JSON text.
    """

    name: str
    timetable: Timetable
    overlap: Overlap
    catch_up: CatchUp
    jitter: int
    vars_json: str

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values with names in camelCase."""
        return {
            "name": self.name,
            "cron": self.timetable.cron,
            "every": self.timetable.every,
            "timezone": self.timetable.timezone,
            "overlap": self.overlap.value,
            "catchUp": self.catch_up.value,
            "jitterSeconds": self.jitter / MICROSECONDS_PER_SECOND,
            "vars": parse_json(self.vars_json),
        }


def build_schedule_definition(definition: Definition, schedule: Schedule) -> ScheduleDefinition:
    """Return a checked schedule of a workflow.

    Args:
        definition: The workflow.
        schedule: The schedule as it was declared or entered.

    Raises:
        VariablesError: If a field has a fault, or a variable does not fit the workflow's model; it names the fields.
    """
    faults = find_schedule_faults(schedule)
    vars_json = "{}"
    try:
        vars_json = definition.validate_vars({} if schedule.vars is None else schedule.vars)
    except VariablesError as error:
        faults |= {f"vars.{field}" if field else "vars": fault for field, fault in error.faults.items()}
    if faults:
        raise VariablesError(f"the schedule {str(schedule.name)[:60]!r} of {definition.name}", faults)
    return ScheduleDefinition(
        name=schedule.name,
        timetable=schedule.build_timetable(),
        overlap=Overlap(schedule.overlap),
        catch_up=CatchUp(schedule.catch_up),
        jitter=to_microseconds(schedule.parse_jitter()),
        vars_json=vars_json,
    )
