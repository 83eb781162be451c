"""The records of the audit: who did what, and when."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from flowlet.text import MAX_IDENTIFIER_LENGTH, clean_text

__all__ = ["AuditAction", "AuditEntry", "AuditRecord"]

MAX_DETAIL_LENGTH = 500


class AuditAction(StrEnum):
    """What a person did. The first word is the kind of the subject."""

    WORKFLOW_CREATED = "workflow.created"
    WORKFLOW_ANSWERED = "workflow.answered"
    WORKFLOW_VOTED = "workflow.voted"
    WORKFLOW_ASSIGNED = "workflow.assigned"
    WORKFLOW_MESSAGE = "workflow.message"
    WORKFLOW_MOVED = "workflow.moved"
    WORKFLOW_FORCED = "workflow.forced"
    WORKFLOW_PAUSED = "workflow.paused"
    WORKFLOW_RESUMED = "workflow.resumed"
    WORKFLOW_CANCELLED = "workflow.cancelled"
    WORKFLOW_RETRIED = "workflow.retried"
    WORKFLOW_WOKEN = "workflow.woken"
    WORKFLOW_EDITED = "workflow.edited"
    WORKFLOW_ACKNOWLEDGED = "workflow.acknowledged"
    LOGIN_SUCCEEDED = "login.succeeded"
    LOGIN_REFUSED = "login.refused"
    USER_CREATED = "user.created"
    USER_CHANGED = "user.changed"
    USER_DELETED = "user.deleted"
    USER_LOGGED_OUT = "user.logged_out"
    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"
    TEAM_CHANGED = "team.changed"
    TEAM_DELETED = "team.deleted"
    VIEW_CREATED = "view.created"
    VIEW_CHANGED = "view.changed"
    VIEW_DELETED = "view.deleted"
    SCHEDULE_CREATED = "schedule.created"
    SCHEDULE_CHANGED = "schedule.changed"
    SCHEDULE_DELETED = "schedule.deleted"
    SCHEDULE_PAUSED = "schedule.paused"
    SCHEDULE_RESUMED = "schedule.resumed"
    SCHEDULE_FIRED = "schedule.fired"
    SCHEDULE_BACKFILLED = "schedule.backfilled"
    LIMIT_HELD = "limit.held"
    LIMIT_RELEASED = "limit.released"
    LANE_PAUSED = "lane.paused"
    LANE_RESUMED = "lane.resumed"
    RETENTION_PRUNED = "retention.pruned"
    RETENTION_FORGOTTEN = "retention.forgotten"
    RETENTION_IMPORTED = "retention.imported"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What a person does, to be recorded in the transaction that does it. Texts are cleaned and cut here.

    Attributes:
        actor: The user, or the owner of the API key.
        action: What is done.
        subject: The instance's id, or the name of the user, key, team, view, schedule, limited workflow or lane.
        detail: More, in words; never a variable, a secret or a text that a person typed. None for nothing.
    """

    actor: str
    action: AuditAction
    subject: str
    detail: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "actor", clean_text(self.actor, MAX_IDENTIFIER_LENGTH))
        object.__setattr__(self, "subject", clean_text(self.subject, MAX_IDENTIFIER_LENGTH))
        if self.detail is not None:
            object.__setattr__(self, "detail", clean_text(self.detail, MAX_DETAIL_LENGTH))


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """A row of the audit.

    Attributes:
        id: Its id; later rows have higher ones.
        at: When, in microseconds since 1970 UTC.
        actor: The user, or the owner of the API key; for a refused login the user whose name was given, or "".
        on_behalf_of: The person for whom an API key acted; None for its owner.
        via: The entry point: "console", "cli", "api", "key 0excs0m5", "code".
        action: What was done.
        subject: The instance's id, or the name of the user, key, team or schedule.
        detail: More, in words; None for nothing.
    """

    id: int
    at: int
    actor: str
    on_behalf_of: str | None
    via: str
    action: str
    subject: str
    detail: str | None
