"""Definitions, executors, users and API keys, as the API returns them."""

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
        kind: "start", "normal", "manual", "receive", "end" or "error".
        renamed_from: Its names in earlier versions, which find it as well.
        timeout_seconds: How long an activation may take; None for no limit.
        on_error: The next state when all attempts have failed; None for none.
        deadline_seconds: How long a manual or receive state waits; None for no limit.
        on_deadline: The next state when the deadline passes; None for none.
        form: The JSON schema of a manual state's form; None for none.
        messages: What a receive state waits for, each with its ``name`` and the JSON ``schema`` of its body.
    """

    name: str
    kind: str
    renamed_from: tuple[str, ...]
    description: str
    timeout_seconds: float | None
    on_error: str | None
    deadline_seconds: float | None
    on_deadline: str | None
    form: dict[str, Any] | None
    messages: tuple[dict[str, Any], ...] = ()


class DefinitionTransition(ResponseModel):
    """An edge of the graph."""

    source: str = Field(alias="from")
    target: str = Field(alias="to")
    label: str


class Definition(ResponseModel):
    """The definition of a workflow.

    Attributes:
        start: The name of the start state.
        group: The executor group of its instances by default.
        created: When an executor first served the workflow; None if none has yet.
        updated: When an executor first served this version; None if none has yet.
        flow_chart: The diagram as Mermaid text.
        variables: The JSON schema of its variables.
    """

    name: str
    description: str
    version: int
    start: str
    group: str = Field(alias="executorGroup")
    priority: int
    created: UtcDatetime | None
    updated: UtcDatetime | None
    flow_chart: str
    states: tuple[DefinitionState, ...]
    transitions: tuple[DefinitionTransition, ...]
    variables: dict[str, Any]


class Executor(ResponseModel):
    """A process that runs instances.

    Attributes:
        status: "RUNNING", "DRAINING", "STOPPED" (it shut down in order) or "LOST" (its lease ran out).
        groups: The executor groups that it serves.
        types: The names of the workflows that it has loaded.
        versions: The version of each of them.
        slots: How many activations it runs at once.
        last_active: When it last extended its lease.
        lease_until: When its lease ends unless it extends it.
    """

    id: str
    name: str
    host: str
    pid: int
    status: str
    groups: tuple[str, ...] = Field(alias="executorGroups")
    types: tuple[str, ...] = Field(alias="workflowTypes")
    versions: dict[str, int] = Field(alias="workflowVersions")
    slots: int
    started: UtcDatetime
    last_active: UtcDatetime
    lease_until: UtcDatetime


class CurrentUser(ResponseModel):
    """The user of the request.

    Attributes:
        role: The role in effect: the API key's, limited by its owner's current role.
        key_id: The API key's id; None for a session.
        may_act_on_behalf: Whether the API key may act on behalf of other persons.
        on_behalf_of: The person for whom the API key acts in this request; None for the user.
    """

    id: int
    username: str
    role: Role
    key_id: str | None
    may_act_on_behalf: bool = False
    on_behalf_of: str | None = None


class User(ResponseModel):
    """A user, without any secret."""

    id: int
    username: str
    role: Role
    is_disabled: bool
    version: int
    created: UtcDatetime
    created_by: str
    modified: UtcDatetime
    modified_by: str
    last_login: UtcDatetime | None


class ApiKey(ResponseModel):
    """An API key, without its secret.

    Attributes:
        role: The key's role, which its owner's current role limits.
        may_act_on_behalf: Whether it may act on behalf of other persons.
        expires: When it expires; None for never.
        last_used: When it was last used, to the minute; None for never.
    """

    id: str
    name: str
    role: Role
    user_id: int
    username: str
    may_act_on_behalf: bool = False
    version: int
    created: UtcDatetime
    created_by: str
    expires: UtcDatetime | None
    last_used: UtcDatetime | None
    revoked: UtcDatetime | None


class IssuedApiKey(ApiKey):
    """A new API key.

    Attributes:
        key: The key's text, which the server never shows again. It is left out of the ``repr``.
    """

    key: str = Field(repr=False)
