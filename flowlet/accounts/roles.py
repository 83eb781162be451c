"""Who somebody is to Flowlet, and what that permits: three roles, each of which may all that the one below may."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Principal", "Role"]


class Role(StrEnum):
    """What a user or an API key may do: ``viewer < operator < admin``.

    Compared by rank, not by spelling: the lesser of two roles is ``min(one, other)``.
    """

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """Its place among the roles, from 0."""
        return tuple(Role).index(self)

    def is_at_least(self, required: Role) -> bool:
        """Return whether this role suffices where ``required`` is asked for."""
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
    """Who makes a request, proven by a password, a session or an API key.

    Attributes:
        username: Under which name it goes into histories.
        role: What it may do now; for an API key never more than its owner may.
        user_id: The user.
        key_id: The API key's id; None where it is not one.
    """

    username: str
    role: Role
    user_id: int
    key_id: str | None = None
