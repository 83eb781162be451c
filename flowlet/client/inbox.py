"""The inbox, as the API returns it."""

from __future__ import annotations

from pydantic import Field

from flowlet.client.models import ResponseModel, UtcDatetime

__all__ = ["InboxEntry", "InboxPage", "InboxVote"]


class InboxVote(ResponseModel):
    """What a person has chosen in a state that several persons decide."""

    person: str
    choice: str
    at: UtcDatetime


class InboxEntry(ResponseModel):
    """An instance that waits for a person.

    Attributes:
        version: What ``expected_version`` of an answer is compared with.
        title: The question in one line; None for none.
        summary: The instance in one line; None for none.
        since: When it entered the state.
        deadline: When it goes on without an answer; None for never.
        teams: The teams whose members may answer; empty for every operator.
        assignee: The user whom it is assigned to; None for none.
        reminders: How often it was reminded of.
        escalated_to: The teams that were added because no answer had come.
        votes: What persons have chosen so far, where several decide.
        choices: The states that may be chosen; empty if the server has not loaded the definition.
        refusal: Why the caller cannot answer it; None if the caller can.
    """

    id: int
    external_id: str
    key: str = Field(alias="businessKey")
    type: str = Field(alias="workflowType")
    state: str
    version: int
    title: str | None
    summary: str | None
    since: UtcDatetime
    deadline: UtcDatetime | None
    teams: tuple[str, ...]
    assignee: str | None
    reminders: int
    escalated_to: tuple[str, ...]
    votes: tuple[InboxVote, ...]
    choices: tuple[str, ...]
    refusal: str | None


class InboxPage(ResponseModel):
    """A page of the inbox.

    Attributes:
        total: How many there are on all pages together, counted up to 10,001.
        next_cursor: The cursor of the next page; None on the last one.
    """

    entries: tuple[InboxEntry, ...]
    total: int
    next_cursor: str | None
