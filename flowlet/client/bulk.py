"""Bulk operations and their previews, as the API returns them."""

from __future__ import annotations

from typing import Any

from flowlet.client.models import ResponseModel

__all__ = ["BulkPreview", "BulkResult", "Refusal", "RefusalCount"]


class Refusal(ResponseModel):
    """One instance that a bulk operation did not change, and the problem that explains why."""

    id: int
    problem: dict[str, Any]


class RefusalCount(ResponseModel):
    """How many instances would refuse a bulk operation for one reason."""

    reason: str
    count: int


class BulkPreview(ResponseModel):
    """What a bulk operation would do.

    Attributes:
        matched: How many instances match, counted up to 10,000.
        matched_is_at_least: Whether more instances match than that.
        ids: The ids of the first ten.
        examined: How many of them were looked at, the first 2,000 at most.
        possible: How many of these permit the operation now.
        refusals: Why the others refuse it, the most frequent reason first.
    """

    matched: int
    matched_is_at_least: bool
    ids: tuple[int, ...]
    examined: int
    possible: int
    refusals: tuple[RefusalCount, ...]


class BulkResult(ResponseModel):
    """The result of a bulk operation.

    Attributes:
        run_id: Its id in the process that runs it.
        is_running: Whether it goes on; ``run_bulk`` waits for its end.
        matched: How many instances it was applied to.
        done: How many of them it changed.
        refused: The first 100 instances that refused it.
        refused_total: How many refused it in all.
        limit_reached: Whether it stopped at its limit, so that more instances may match.
        problem: The problem that ended it early; None without one.
    """

    run_id: str
    is_running: bool
    matched: int
    done: int
    refused: tuple[Refusal, ...]
    refused_total: int
    limit_reached: bool
    problem: dict[str, Any] | None
