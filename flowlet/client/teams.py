"""Teams, as the API returns them."""

from __future__ import annotations

from flowlet.client.models import ResponseModel, UtcDatetime

__all__ = ["Team"]


class Team(ResponseModel):
    """A team, as it was when the server responded.

    Attributes:
        members: The usernames of its members, in their order.
        version: Raised when its members change; ``expected_version`` is compared with it.
    """

    name: str
    members: tuple[str, ...]
    version: int
    created: UtcDatetime
    created_by: str
    modified: UtcDatetime
    modified_by: str
