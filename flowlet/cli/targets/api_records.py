"""The records of the API as those of the database, so that every command prints both alike.

What the API does not have, such as the fencing token, has the value of a new instance; no command prints it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, overload

from flowlet.accounts.audit import AuditRecord
from flowlet.accounts.models import ApiKey, User
from flowlet.accounts.roles import Role
from flowlet.cli.targets.target import ListedDefinition, ListedQuestion
from flowlet.client import Action as ActionResponse
from flowlet.client import ApiKey as ApiKeyResponse
from flowlet.client import AuditEntry, Event, Executor, InboxEntry, Team, View
from flowlet.client import Definition as DefinitionResponse
from flowlet.client import Instance as InstanceResponse
from flowlet.client import LanePause as LanePauseResponse
from flowlet.client import LimitUse as LimitUseResponse
from flowlet.client import Schedule as ScheduleResponse
from flowlet.client import User as UserResponse
from flowlet.clock import to_microseconds
from flowlet.instance.action import Action
from flowlet.instance.instance import Instance
from flowlet.instance.json_text import write_json
from flowlet.instance.message import MessageWait
from flowlet.store.executors import ExecutorRecord
from flowlet.store.history import HistoryEvent
from flowlet.store.limits.limits import LimitUse
from flowlet.store.limits.table import LaneKind, LanePause, LimitRecord
from flowlet.store.people.teams import TeamRecord
from flowlet.store.people.views import ViewRecord
from flowlet.store.schedules.table import ScheduleRecord, ScheduleSource
from flowlet.workflow.schedule import CatchUp, Overlap
from flowlet.workflow.timetable import build_interval_spec

__all__ = [
    "build_action",
    "build_audit_record",
    "build_event",
    "build_executor",
    "build_instance",
    "build_key",
    "build_lane_pause",
    "build_limit_use",
    "build_question",
    "build_schedule",
    "build_team",
    "build_user",
    "build_view",
    "summarize_definition",
]

_SAME_INSTANCE_FIELDS = (
    *("id", "type", "definition_version", "external_id", "key", "parent_id", "group", "priority", "status", "state"),
    *("attempt", "visit", "executor_id", "version", "children", "open_children", "pause_requested", "held_status"),
    *("reason", "created_by", "fingerprint", "unread"),
)
_SAME_ACTION_FIELDS = (
    *("id", "workflow_id", "from_state", "to_state", "text", "duration_ms", "executor_id", "username", "detail"),
    *("version", "on_behalf_of"),
)
_SAME_EVENT_FIELDS = (
    *("id", "workflow_id", "from_state", "to_state", "text", "attempt", "duration_ms", "executor_id", "username"),
    "on_behalf_of",
    *("type", "external_id", "status", "state"),
)
_SAME_SCHEDULE_FIELDS = (
    *("id", "name", "type", "timezone", "last_workflow_id", "paused_by", "paused_reason", "is_disabled", "fault"),
    *("definition_version", "version", "created_by", "modified_by"),
)
_SCHEDULE_TIMES = ("next_time", "next_fire", "last_fire", "pending", "paused", "created", "modified")
_SAME_EXECUTOR_FIELDS = ("id", "name", "host", "pid", "groups", "types", "slots", "status", "versions")


def build_instance(response: InstanceResponse) -> Instance:
    """Return an instance of the API as one of the database."""
    return Instance(
        **_read_fields(response, _SAME_INSTANCE_FIELDS),
        vars_json=write_json(response.vars),
        answer_json=None if response.answer is None else write_json(response.answer.model_dump()),
        awaits_json=MessageWait(tuple(response.awaits), None).write() if response.awaits else None,
        next_activation_us=_to_microseconds(response.next_activation),
        created_us=_to_microseconds(response.created),
        modified_us=_to_microseconds(response.modified),
        started_us=_to_microseconds(response.started),
        ended_us=_to_microseconds(response.ended),
        wake_at_open_children=0 if response.waits_for_children else None,
        root_id=None,
        streak=0,
        crashes=0,
        token=0,
    )


def build_action(response: ActionResponse) -> Action:
    """Return a line of history of the API as one of the database."""
    answer = None if response.answer is None else response.answer.model_dump(exclude={"username"})
    kind: Any = response.kind  # a newer server may have kinds that this version does not know
    return Action(
        kind,
        _to_microseconds(response.at),
        **_read_fields(response, _SAME_ACTION_FIELDS),
        attempt=response.retry_count + 1,
        changes_json=None if response.changes is None else write_json(response.changes),
        answer_json=None if answer is None else write_json(answer),
    )


def build_audit_record(response: AuditEntry) -> AuditRecord:
    """Return an entry of the API's audit as a record of the database."""
    fields = ("id", "actor", "on_behalf_of", "via", "action", "subject", "detail")
    return AuditRecord(**_read_fields(response, fields), at=_to_microseconds(response.at))


def build_event(response: Event) -> HistoryEvent:
    """Return an event of the API as one of the database."""
    kind: Any = response.kind
    return HistoryEvent(
        **_read_fields(response, _SAME_EVENT_FIELDS),
        kind=kind,
        at=_to_microseconds(response.at),
        business_key=response.key,
        executor_group=response.group,
    )


def build_question(response: InboxEntry) -> ListedQuestion:
    """Return an entry of the API's inbox as a list shows it."""
    same = ("id", "external_id", "key", "type", "state", "version", "title", "summary", "teams", "assignee")
    return ListedQuestion(
        **_read_fields(response, (*same, "reminders", "escalated_to")),
        since=_to_microseconds(response.since),
        deadline=_to_microseconds(response.deadline),
    )


def build_schedule(response: ScheduleResponse) -> ScheduleRecord:
    """Return a schedule of the API as one of the database."""
    times: dict[str, Any] = {name: _to_microseconds(getattr(response, name)) for name in _SCHEDULE_TIMES}
    return ScheduleRecord(
        **_read_fields(response, _SAME_SCHEDULE_FIELDS),
        **times,
        source=ScheduleSource(response.source),
        spec=response.cron or build_interval_spec(response.every or ""),
        overlap=Overlap(response.overlap),
        catch_up=CatchUp(response.catch_up),
        jitter=to_microseconds(timedelta(seconds=response.jitter_seconds)),
        vars_json=write_json(response.vars),
    )


def build_limit_use(response: LimitUseResponse) -> LimitUse:
    """Return a limit of the API as one of the database, with what runs and waits."""
    same = ("state", "capacity", "key_variable", "rate_count", "breaker_count", "failures", "held_by", "held_reason")
    record = LimitRecord(
        **_read_fields(response, same),
        type=response.workflow_type,
        rate_period=_to_length(response.rate_period_seconds),
        breaker_pause=_to_length(response.breaker_pause_seconds),
        breaker_interval=_to_length(response.breaker_interval_seconds),
        held_at=_to_microseconds(response.held),
        opened_interval=_to_length(response.opened_interval_seconds),
        opened_until=_to_microseconds(response.opened_until),
        version=response.definition_version,
        scope="",
        tokens=0,
        refilled=0,
        probe_id=None,
        opened_due=None,
        admissions=0,
    )
    return LimitUse(record, response.running, response.waiting)


def build_lane_pause(response: LanePauseResponse) -> LanePause:
    """Return the pause of a lane of the API as one of the database."""
    kind, at = LaneKind(response.kind.value), _to_microseconds(response.paused)
    return LanePause(kind, response.name, at, response.paused_by, response.reason)


def build_executor(response: Executor) -> ExecutorRecord:
    """Return an executor of the API as one of the database."""
    return ExecutorRecord(
        **_read_fields(response, _SAME_EXECUTOR_FIELDS),
        started=_to_microseconds(response.started),
        beat=_to_microseconds(response.last_active),
        lease_until=_to_microseconds(response.lease_until),
    )


def summarize_definition(response: DefinitionResponse) -> ListedDefinition:
    """Return a definition of the API as a list shows it."""
    fields = _read_fields(response, ("name", "version", "start", "group", "priority", "description"))
    return ListedDefinition(**fields, states=len(response.states))


def build_user(response: UserResponse) -> User:
    """Return a user of the API as one of the database."""
    return User(
        **_read_fields(response, ("id", "username", "is_disabled", "version", "created_by", "modified_by")),
        role=Role(response.role),
        created=_to_microseconds(response.created),
        modified=_to_microseconds(response.modified),
        last_login=_to_microseconds(response.last_login),
    )


def build_key(response: ApiKeyResponse, *, is_owner_disabled: bool) -> ApiKey:
    """Return an API key of the API as one of the database; the API does not say whether its owner is disabled."""
    return ApiKey(
        **_read_fields(response, ("id", "name", "user_id", "username", "version", "created_by", "may_act_on_behalf")),
        role=Role(response.role),
        is_owner_disabled=is_owner_disabled,
        created=_to_microseconds(response.created),
        expires=_to_microseconds(response.expires),
        last_used=_to_microseconds(response.last_used),
        revoked=_to_microseconds(response.revoked),
    )


def build_team(response: Team) -> TeamRecord:
    """Return a team of the API as one of the database."""
    return TeamRecord(
        **_read_fields(response, ("name", "version", "created_by", "modified_by")),
        members=tuple(response.members),
        created=_to_microseconds(response.created),
        modified=_to_microseconds(response.modified),
    )


def build_view(response: View) -> ViewRecord:
    """Return a saved view of the API as one of the database."""
    same = ("id", "name", "address", "is_shared", "is_default", "version", "created_by", "modified_by")
    return ViewRecord(
        **_read_fields(response, same),
        created=_to_microseconds(response.created),
        modified=_to_microseconds(response.modified),
    )


def _read_fields(response: object, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(response, name) for name in names}


def _to_length(seconds: float | None) -> int | None:
    return None if seconds is None else to_microseconds(timedelta(seconds=seconds))


@overload
def _to_microseconds(moment: datetime) -> int: ...
@overload
def _to_microseconds(moment: datetime | None) -> int | None: ...
def _to_microseconds(moment: datetime | None) -> int | None:
    return None if moment is None else to_microseconds(moment)
