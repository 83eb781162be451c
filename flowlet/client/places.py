"""Definitions, executors, users and keys as the API tells them: what workflows run by, where, and for whom."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from flowlet.client.models import Model, Moment
from flowlet.roles import Role

__all__ = ["Definition", "DefinitionState", "DefinitionTransition", "Executor", "Key", "MadeKey", "Me", "User"]


class DefinitionState(Model):
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


class DefinitionTransition(Model):
    """An edge of a definition's graph."""

    source: str = Field(alias="from")
    target: str = Field(alias="to")
    label: str


class Definition(Model):
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
    created: Moment | None
    updated: Moment | None
    flow_chart: str
    states: tuple[DefinitionState, ...]
    transitions: tuple[DefinitionTransition, ...]
    variables: dict[str, Any]


class Executor(Model):
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
    started: Moment
    last_active: Moment
    lease_until: Moment


class Me(Model):
    """Who asks.

    Attributes:
        role: What may be done now; of an API key never more than its owner may.
        key_id: The API key's id; None for a session.
    """

    id: int
    username: str
    role: Role
    key_id: str | None


class User(Model):
    """Somebody who may log in, without any secret."""

    id: int
    username: str
    role: Role
    is_disabled: bool
    created: Moment
    created_by: str
    modified: Moment
    modified_by: str
    last_login: Moment | None


class Key(Model):
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
    created: Moment
    created_by: str
    expires: Moment | None
    last_used: Moment | None
    revoked: Moment | None


class MadeKey(Key):
    """A new API key.

    Attributes:
        key: Its text, which nothing shows again; not in the ``repr`` either.
    """

    key: str = Field(repr=False)
