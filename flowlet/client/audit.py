"""The audit, as the API returns it."""

from __future__ import annotations

from flowlet.client.models import ResponseModel, UtcDatetime

__all__ = ["AuditEntry"]


class AuditEntry(ResponseModel):
    """What a person, or a program with an API key, has done.

    Attributes:
        id: Its id; later entries have higher ones.
        at: When it was done.
        actor: The user, or the owner of the API key. For a refused login the user that was named, or "" for none.
        on_behalf_of: The person for whom an API key acted; None for its owner.
        via: The entry point: "console", "cli", "api", "key" with the id of an API key, or "code".
        action: What was done, such as "workflow.answered" or "user.created".
        subject: The workflow's id, or the name of the user, API key, team or schedule.
        detail: More, in words; None for nothing.
    """

    id: int
    at: UtcDatetime
    actor: str
    on_behalf_of: str | None
    via: str
    action: str
    subject: str
    detail: str | None
