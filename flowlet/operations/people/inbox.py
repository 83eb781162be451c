"""The inbox of a person: the questions of all, of the person's teams, or those that are assigned to the person."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from flowlet.store.opening import Store
from flowlet.store.people.asked_questions import Person
from flowlet.store.reports.inbox import Inbox, read_inbox

__all__ = ["InboxRequest", "Whose", "read_person_inbox"]


class Whose(StrEnum):
    """Whose questions are read."""

    ALL = "all"
    MINE = "mine"
    """Those that are assigned to the person."""
    TEAMS = "teams"
    """Those that one of the person's teams may answer."""


@dataclass(frozen=True, slots=True)
class InboxRequest:
    """A page of the inbox.

    Attributes:
        whose: Whose questions.
        type: The workflow's name; None for any.
        state: One of the manual state's names; None for any.
        by_deadline: Whether the nearest deadline comes first; otherwise what has waited for the longest time does.
        limit: How many at most, 1 to 1,000.
        cursor: The ``next_cursor`` of the page before, in the same order; None for the first page.
    """

    whose: Whose = Whose.ALL
    type: str | None = None
    state: str | None = None
    by_deadline: bool = True
    limit: int = 25
    cursor: str | None = None


async def read_person_inbox(store: Store, person: Person, request: InboxRequest) -> Inbox:
    """Return a page of the inbox as a person sees it.

    Args:
        store: The database.
        person: The person, with the teams of now.
        request: The page.

    Raises:
        SearchError: If a value is not allowed; the error names each one.
        StoreUnavailableError: If the database is unavailable.
    """
    return await read_inbox(
        store.connections,
        names=await store.state_names.read(),
        type=request.type,
        state=request.state,
        by_deadline=request.by_deadline,
        assignee=person.username if request.whose is Whose.MINE else None,
        teams=person.teams if request.whose is Whose.TEAMS else None,
        limit=request.limit,
        cursor=request.cursor,
    )
