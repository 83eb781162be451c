"""Saved views of the workflow list, as the API returns them."""

from __future__ import annotations

from flowlet.client.models import ResponseModel, UtcDatetime

__all__ = ["View"]


class View(ResponseModel):
    """A saved view, as it was when the server responded.

    Attributes:
        id: Never reused.
        address: The filters, the order and the columns: what follows the question mark in the address of the list.
        is_shared: Whether all users see it.
        is_default: Whether it opens when its user opens the list without filters.
        version: Raised by each change; ``expected_version`` is compared with it.
    """

    id: int
    name: str
    address: str
    is_shared: bool
    is_default: bool
    version: int
    created: UtcDatetime
    created_by: str
    modified: UtcDatetime
    modified_by: str
