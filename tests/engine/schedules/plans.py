"""Schedules as rows, for tests of what they fire."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from flowlet.clock import to_microseconds
from flowlet.store.schedules.table import ScheduleRecord, ScheduleSource
from flowlet.store.schedules.times import plan_next_time
from flowlet.workflow.schedule import CatchUp, Overlap

__all__ = ["MINUTE", "build_record", "parse_time"]

MINUTE = 60_000_000


def parse_time(text: str) -> int:
    """Return a time in microseconds since 1970 UTC."""
    return to_microseconds(datetime.fromisoformat(text))


def build_record(spec: str, *, after: str, **changes: Any) -> ScheduleRecord:
    """Return a schedule whose next time is the first one after another."""
    record = ScheduleRecord(
        id=1,
        name="nightly",
        type="Orders",
        source=ScheduleSource.CODE,
        spec=spec,
        timezone="UTC",
        overlap=Overlap.ALLOW,
        catch_up=CatchUp.LAST,
        jitter=0,
        vars_json="{}",
        next_time=None,
        next_fire=None,
        last_fire=None,
        last_workflow_id=None,
        pending=None,
        paused=None,
        paused_by=None,
        paused_reason=None,
        is_disabled=False,
        fault=None,
        definition_version=1,
        version=1,
        created=0,
        created_by=None,
        modified=0,
        modified_by=None,
    )
    return plan_next_time(replace(record, **changes), after=parse_time(after))
