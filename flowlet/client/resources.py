"""Definitions, executors, users and keys as the API tells them: what workflows run by, where, and for whom."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from flowlet.accounts.roles import Role
from flowlet.client.models import ResponseModel, UtcDatetime

__all__ = [
    "ApiKey",
    "CurrentUser",
    "Definition",
    "DefinitionState",
    "DefinitionTransition",
    "Executor",
    "IssuedApiKey",
    "User",
]


class DefinitionState(ResponseModel):
    """A state of a definition.

    Attributes:
        kind: "start", "normal", "manual", "end" or "error".
        timeout_seconds: After how long an attempt is stopped; None for never.
        deadline_seconds: How long a manual state waits for an answer; None for ever.
        form: The JSON schema of what a person answers.
    """

    name: str
    kind: str
    description: str
    timeout_seconds: float | None
    on_error: str | None
    deadline_seconds: float | None
    on_deadline: str | None
    form: dict[str, Any] | None


class DefinitionTransition(ResponseModel):
    """An edge of a definition's graph."""

    source: str = Field(alias="from")
    target: str = Field(alias="to")
    label: str


class Definition(ResponseModel):
    """The shape of a workflow.

    Attributes:
        start: The state in which it begins.
        created: When an executor first served it; None for not yet.
        updated: When an executor first served it in its newest shape.
        flow_chart: Mermaid text.
        variables: The JSON schema of its variables.
    """

    name: str
    description: str
    version: int
    start: str
    executor_group: str
    priority: int
    created: UtcDatetime | None
    updated: UtcDatetime | None
    flow_chart: str
    states: tuple[DefinitionState, ...]
    transitions: tuple[DefinitionTransition, ...]
    variables: dict[str, Any]


class Executor(ResponseModel):
    """A process that runs workflows.

    Attributes:
        status: "RUNNING", "DRAINING", "STOPPED" (it left in order) or "LOST" (it was given up).
        slots: How many activations it runs at once.
        lease_until: When it is given up if it is not heard of.
    """

    id: str
    name: str
    host: str
    pid: int
    status: str
    executor_groups: tuple[str, ...]
    workflow_types: tuple[str, ...]
    slots: int
    started: UtcDatetime
    last_active: UtcDatetime
    lease_until: UtcDatetime


class CurrentUser(ResponseModel):
    """Who asks.

    Attributes:
        role: What may be done now; of an API key never more than its owner may.
        key_id: The API key's id; None for a session.
    """

    id: int
    username: str
    role: Role
    key_id: str | None


class User(ResponseModel):
    """Somebody who may log in, without any secret."""

    id: int
    username: str
    role: Role
    is_disabled: bool
    created: UtcDatetime
    created_by: str
    modified: UtcDatetime
    modified_by: str
    last_login: UtcDatetime | None


class ApiKey(ResponseModel):
    """An API key, without what lets a program in.

    Attributes:
        role: What it may do at most: its owner's role bounds it too.
        expires: None for never.
        last_used: To the minute; None for never.
    """

    id: str
    name: str
    role: Role
    user_id: int
    username: str
    created: UtcDatetime
    created_by: str
    expires: UtcDatetime | None
    last_used: UtcDatetime | None
    revoked: UtcDatetime | None


class IssuedApiKey(ApiKey):
    """A new API key.

    Attributes:
        key: Its text, which nothing shows again; not in the ``repr`` either.
    """

    key: str = Field(repr=False)
