"""Teams."""

from __future__ import annotations

from collections.abc import Sequence

from flowlet.client import endpoints
from flowlet.client.asynchronous.transport import AsyncTransport
from flowlet.client.request import quote_segment
from flowlet.client.teams import Team

__all__ = ["AsyncTeams"]


class AsyncTeams:
    """The teams, whose members answer the questions of manual states. Changes require the role admin."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list_all(self) -> list[Team]:
        """Return every team, by name."""
        return await self._transport.send(endpoints.build_get_request("/api/teams", list[Team]))

    async def set_members(self, name: str, members: Sequence[str], *, expected_version: int | None = None) -> Team:
        """Create a team with these members, or replace the members of one.

        Args:
            name: 1 to 64 lower-case letters, digits, hyphens and dots.
            members: The usernames, at most 1,000.
            expected_version: The version that the team must have, 0 for one that does not exist; None for any.

        Raises:
            BadRequestError: If the name cannot be a team's.
            NotFoundError: If there is no user of one of the names.
            RefusedError: If the team has another version.
        """
        api_request = endpoints.build_put_request(
            f"/api/teams/{quote_segment(name)}", Team, members=list(members), expected_version=expected_version
        )
        return await self._transport.send(api_request)

    async def delete(self, name: str, *, expected_version: int | None = None) -> None:
        """Delete a team.

        Raises:
            NotFoundError: If there is no such team.
            RefusedError: If the team has another version.
        """
        path = f"/api/teams/{quote_segment(name)}"
        await self._transport.send(endpoints.build_delete_request(path, expected_version=expected_version))
