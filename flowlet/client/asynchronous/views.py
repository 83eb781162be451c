"""Saved views of the workflow list."""

from __future__ import annotations

from flowlet.client import endpoints
from flowlet.client.asynchronous.transport import AsyncTransport
from flowlet.client.views import View

__all__ = ["AsyncViews"]


class AsyncViews:
    """The saved views of the workflow list: those of the client's user, and those that all users share.

    A user changes the user's own views; shared ones require the role operator.
    """

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list_all(self) -> list[View]:
        """Return the user's own views by name, and then those that all share."""
        return await self._transport.send(endpoints.build_get_request("/api/views", list[View]))

    async def get(self, id: int) -> View:
        """Return a view.

        Raises:
            NotFoundError: If there is no such view, or it is another user's.
        """
        return await self._transport.send(endpoints.build_get_request(f"/api/views/{id:d}", View))

    async def create(self, name: str, address: str, *, is_shared: bool = False, is_default: bool = False) -> View:
        """Save an address of the list under a name.

        Args:
            name: 1 to 120 characters; unique in any case.
            address: The filters, the order and the columns, such as ``status=FAILED&sort=-modified``.
            is_shared: Whether all users see it.
            is_default: Whether it opens when the user opens the list without filters; not if it is shared.

        Raises:
            BadRequestError: If the name or the address cannot be used.
            RefusedError: If there is a view of this name, or there are too many.
        """
        fields = {"address": address, "is_shared": is_shared, "is_default": is_default}
        return await self._transport.send(endpoints.build_post_request("/api/views", View, name=name, **fields))

    async def change(
        self,
        id: int,
        *,
        name: str | None = None,
        address: str | None = None,
        is_default: bool | None = None,
        expected_version: int | None = None,
    ) -> View:
        """Rename a view, overwrite its address, or make it the user's default. What is None stays as it is.

        Raises:
            BadRequestError: If the name or the address cannot be used.
            NotFoundError: If there is no such view, or it is another user's.
            RefusedError: If there is another view of this name, or the view has another version.
        """
        fields = {"name": name, "address": address, "is_default": is_default, "expected_version": expected_version}
        return await self._transport.send(endpoints.build_put_request(f"/api/views/{id:d}", View, **fields))

    async def delete(self, id: int, *, expected_version: int | None = None) -> None:
        """Delete a view.

        Raises:
            NotFoundError: If there is no such view, or it is another user's.
            RefusedError: If the view has another version.
        """
        await self._transport.send(
            endpoints.build_delete_request(f"/api/views/{id:d}", expected_version=expected_version)
        )
