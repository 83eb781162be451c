"""Principals and their roles: three roles, each with all permissions of the role below."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Principal", "Role"]


class Role(StrEnum):
    """What a user or an API key may do: ``viewer < operator < admin``.

    Roles compare by rank, not by spelling: the lower of two roles is ``min(one, other)``.
    """

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """The position among the roles, from 0."""
        return tuple(Role).index(self)

    def is_at_least(self, required: Role) -> bool:
        """Return whether this role has all permissions of ``required``."""
        return self.rank >= required.rank

    def __lt__(self, other: str) -> bool:
        return self.rank < Role(other).rank

    def __le__(self, other: str) -> bool:
        return self.rank <= Role(other).rank

    def __gt__(self, other: str) -> bool:
        return self.rank > Role(other).rank

    def __ge__(self, other: str) -> bool:
        return self.rank >= Role(other).rank


@dataclass(frozen=True, slots=True)
class Principal:
    """The user on whose behalf a request is made, authenticated by a password, a session or an API key.

    Attributes:
        username: The name that the history records.
        role: What the principal may do now; an API key never has more permissions than its owner currently has.
        user_id: The user's id.
        key_id: The API key's id; None if the principal did not authenticate with one.
        may_act_on_behalf: Whether the API key may act on behalf of other persons.
        on_behalf_of: The person for whom the API key acts in this request; None for its owner.
    """

    username: str
    role: Role
    user_id: int
    key_id: str | None = None
    may_act_on_behalf: bool = False
    on_behalf_of: str | None = None

    @property
    def person(self) -> str:
        """The person who acts: the one for whom the API key acts, or the user."""
        return self.on_behalf_of or self.username
