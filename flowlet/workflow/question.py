"""What a manual state says about its question: what people are shown, and who may answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

__all__ = ["Question", "Team", "check_team_name", "team"]

_TEAM_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Team:
    """A team of users, by its name. ``team`` makes one."""

    name: str


def team(name: str) -> Team:
    """Return a team, for ``manual(to=team("finance"))``. Its members are those of the database.

    Args:
        name: Its name: 1 to 64 lower-case letters, digits, hyphens and dots; letters or digits at both ends.

    Raises:
        ValueError: If it has other characters, or another length.
    """
    return Team(check_team_name(name))


def check_team_name(name: str) -> str:
    """Return a team's name.

    Raises:
        ValueError: If it cannot be one.
    """
    if not isinstance(name, str) or not _TEAM_NAME.fullmatch(name):
        raise ValueError(
            f"a team's name has 1 to 64 lower-case letters, digits, hyphens and dots, not {str(name)[:80]!a}"
        )
    return name


@dataclass(frozen=True, slots=True)
class Question:
    """The options of a manual state that are about its question, as its module gives them.

    Attributes:
        title: The template of the question in one line.
        show: The paths of the variables that are shown.
        to: The team, or the teams, whose members may answer.
        not_by: The path of the variable that names who must not answer.
        approvals: How many persons have to choose a state, by the state or its name.
        remind: How long to wait for an answer before each reminder; None for none.
        escalate: The teams that are added to those that may answer, by how long the question is unanswered.
    """

    title: str | None = None
    show: Sequence[str] = ()
    to: Team | Sequence[Team] = ()
    not_by: str | None = None
    approvals: Mapping[Any, int] = field(default_factory=dict)
    remind: timedelta | None = None
    escalate: Mapping[Any, Team | Sequence[Team]] = field(default_factory=dict)
