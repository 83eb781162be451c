"""What is kept and what is deleted, for admins: the rules, a deletion at once, an export, and personal data."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from quart import Blueprint, Response

from flowlet.accounts.roles import Role
from flowlet.instance.keep_period import OFF, format_keep_period
from flowlet.operations.archive.transfer import export_tree
from flowlet.operations.forgetting import count_keyed_trees, forget_key
from flowlet.operations.retention import KeptWorkflow, PruneRequest, preview_prune, prune
from flowlet.store.retention.deletion import Deleted
from flowlet.text import MAX_IDENTIFIER_LENGTH
from flowlet.web.auth import get_principal, require_role
from flowlet.web.field_types import OptionalName
from flowlet.web.json_responses import build_json_response
from flowlet.web.openapi.document import describe_route
from flowlet.web.parsing import read_body, read_optional_body
from flowlet.web.schemas import ApiModel, RequestModel, Timestamp
from flowlet.web.services import get_services

__all__ = ["blueprint", "prune_for_seconds"]

PRUNE_SECONDS = 3.0
"""How long one request deletes at most."""

blueprint = Blueprint("retention", __name__)


class PruneWorkflowsRequest(RequestModel):
    """What to delete.

    Attributes:
        workflow_type: The only workflow; all of them if left out.
        ended_before: Delete what ended before this time, whatever the rules say.
        dry_run: Whether to count only.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"workflowType": "OrderWorkflow", "dryRun": True}]})

    workflow_type: OptionalName = None
    ended_before: Timestamp | None = None
    dry_run: bool = False


class ForgetRequest(RequestModel):
    """Whose data to delete.

    Attributes:
        business_key: The business key.
        dry_run: Whether to count only.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"businessKey": "customer-1001", "dryRun": True}]})

    business_key: Annotated[str, Field(min_length=1, max_length=MAX_IDENTIFIER_LENGTH)]
    dry_run: bool = False


class KeptWorkflowResponse(ApiModel):
    """How long the workflows of a definition are kept after they have ended.

    Attributes:
        workflow_type: The definition's name.
        keep: How long FINISHED and CANCELLED ones are kept: a duration, or "always".
        keep_failed: The same for FAILED ones.
        source: Whether the workflow says so, or the setting FLOWLET_KEEP.
        prunable: How many trees are old enough to be deleted, counted up to 10,000 of each status.
        prunable_is_at_least: Whether there are more than that.
        oldest_end: When the first of these ended; null if there is none.
    """

    workflow_type: str
    keep: str
    keep_failed: str
    source: Literal["workflow", "setting"]
    prunable: int
    prunable_is_at_least: bool
    oldest_end: Timestamp | None

    @classmethod
    def of(cls, kept: KeptWorkflow) -> KeptWorkflowResponse:
        """Return the response for a workflow."""
        return cls(
            workflow_type=kept.rule.type,
            keep=format_keep_period(kept.rule.keep),
            keep_failed=format_keep_period(kept.rule.keep_failed),
            source=kept.rule.source.value,
            prunable=kept.prunable_trees,
            prunable_is_at_least=kept.has_more,
            oldest_end=kept.oldest_end,
        )


class DeletionResponse(ApiModel):
    """What was deleted, or would be.

    Attributes:
        trees: How many trees: workflows without a parent, with all that is below them.
        workflows: How many workflows; 0 in a dry run, which does not count them.
        is_complete: Whether nothing is left to delete; if not, send the request again. With a dry run, whether all were
            counted.
    """

    trees: int
    workflows: int
    is_complete: bool


class TreeResponse(ApiModel):
    """A whole tree, as the command import reads it.

    Attributes:
        instances: The rows of the workflow's root and of all that is below it.
        history: The rows of their actions.
        messages: The rows of the messages that were sent to them.
        people: The rows about people, by the name of their table: entries in the inbox, and votes.
    """

    instances: list[dict[str, Any]]
    history: list[dict[str, Any]]
    messages: list[dict[str, Any]]
    people: dict[str, list[dict[str, Any]]]


@blueprint.get("/api/retention")
@require_role(Role.ADMIN)
@describe_route(answers={200: list[KeptWorkflowResponse]})
async def list_retention_rules() -> Response:
    """Return how long the workflows of each definition are kept, and how many could be deleted now."""
    return build_json_response([KeptWorkflowResponse.of(kept) for kept in await _preview(PruneRequest())])


@blueprint.post("/api/retention/prune")
@require_role(Role.ADMIN)
@describe_route(body=PruneWorkflowsRequest, is_optional=True, answers={200: DeletionResponse}, problems=(404,))
async def prune_workflows() -> Response:
    """Delete workflows that ended longer ago than they are kept, with their actions, for at most three seconds."""
    given = await read_optional_body(PruneWorkflowsRequest)
    prune_request = PruneRequest(given.workflow_type, given.ended_before)
    if given.dry_run:
        found = await _preview(prune_request)
        trees, is_complete = sum(one.prunable_trees for one in found), not any(one.has_more for one in found)
        return build_json_response(DeletionResponse(trees=trees, workflows=0, is_complete=is_complete))
    deleted, is_complete = await prune_for_seconds(prune_request)
    return build_json_response(
        DeletionResponse(trees=deleted.trees, workflows=deleted.instances, is_complete=is_complete)
    )


@blueprint.post("/api/retention/forget")
@require_role(Role.ADMIN)
@describe_route(body=ForgetRequest, answers={200: DeletionResponse}, problems=(409,))
async def forget_business_key() -> Response:
    """Delete all workflows with a business key, with their whole trees and actions; refused while one is open."""
    given, store = await read_body(ForgetRequest), get_services().store
    if given.dry_run:
        trees = await count_keyed_trees(store, given.business_key)
        return build_json_response(DeletionResponse(trees=trees, workflows=0, is_complete=True))
    deleted = await forget_key(store, given.business_key, username=get_principal().username)
    return build_json_response(DeletionResponse(trees=deleted.trees, workflows=deleted.instances, is_complete=True))


@blueprint.get("/api/workflows/<id>/export")
@require_role(Role.ADMIN)
@describe_route(answers={200: TreeResponse})
async def export_workflow(id: str) -> Response:
    """Return the rows of a workflow's whole tree, with all actions."""
    store = get_services().store
    rows = await export_tree(store, await store.queries.find(id))
    return build_json_response(TreeResponse.model_validate(rows.to_json()))


async def prune_for_seconds(prune_request: PruneRequest) -> tuple[Deleted, bool]:
    """Delete for at most three seconds; return what was deleted, and whether that is all.

    Args:
        prune_request: What to delete; external ids are kept where FLOWLET_KEEP_EXTERNAL_IDS says so.
    """
    here = get_services()
    settings, clock = here.settings.get_executor_settings(), here.store.clock
    deleted, began = Deleted(), clock.monotonic()
    wanted = PruneRequest(
        prune_request.type, prune_request.before, keeps_external_ids=settings.keep_external_ids != OFF
    )
    parts = prune(
        here.store, here.registry.definitions, wanted, username=get_principal().username, default=settings.keep
    )
    async for part in parts:
        deleted = deleted.add(part)
        if clock.monotonic() - began >= PRUNE_SECONDS:
            await parts.aclose()
            return deleted, False
    return deleted, True


async def _preview(prune_request: PruneRequest) -> list[KeptWorkflow]:
    here = get_services()
    keep = here.settings.get_executor_settings().keep
    return await preview_prune(here.store, here.registry.definitions, prune_request, default=keep)
