"""What the server says about what is kept and what is deleted."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from flowlet.client.models import ResponseModel, UtcDatetime

__all__ = ["Deletion", "KeptWorkflow"]


class KeptWorkflow(ResponseModel):
    """How long the instances of a workflow are kept after they have ended.

    Attributes:
        type: The workflow's name.
        keep: How long FINISHED and CANCELLED ones are kept: a duration, or "always".
        keep_failed: The same for FAILED ones.
        source: Whether the workflow says so, or the server's setting.
        prunable: How many trees are old enough to be deleted, counted up to 10,000 of each status.
        prunable_is_at_least: Whether there are more than that.
        oldest_end: When the first of these ended; None if there is none.
    """

    type: str = Field(alias="workflowType")
    keep: str
    keep_failed: str
    source: Literal["workflow", "setting"]
    prunable: int
    prunable_is_at_least: bool
    oldest_end: UtcDatetime | None


class Deletion(ResponseModel):
    """What was deleted, or would be.

    Attributes:
        trees: How many trees.
        instances: How many instances; 0 in a dry run.
        is_complete: Whether nothing is left; if not, call it again.
    """

    trees: int
    instances: int = Field(alias="workflows")
    is_complete: bool
