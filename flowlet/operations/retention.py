"""What is kept and what is deleted, for people: the rules, a preview, and a deletion at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from flowlet.accounts.audit import AuditAction, AuditEntry
from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.definition.definition import Definition
from flowlet.engine.retention.pruner import prune_ranges
from flowlet.engine.retention.rules import RetentionRule, RuleSource, list_ranges, read_retention_rules
from flowlet.errors import UnknownWorkflowError
from flowlet.instance.keep_period import format_keep_period
from flowlet.store.opening import Store
from flowlet.store.retention.deletion import Deleted
from flowlet.store.retention.ended_trees import MAX_COUNTED_TREES, EndedRange, count_ended_roots, find_oldest_end

__all__ = [
    "KeptWorkflow",
    "PruneRequest",
    "describe_retention",
    "describe_rule",
    "preview_prune",
    "prune",
    "read_prune_lag_seconds",
]


@dataclass(frozen=True, slots=True)
class PruneRequest:
    """What a person wants to be deleted.

    Attributes:
        type: The only workflow; None for all.
        before: Those that ended before this time, in microseconds since 1970 UTC, whatever the rules say; None for
            those that are older than the rules say.
        keeps_external_ids: Whether the external ids stay taken.
    """

    type: str | None = None
    before: int | None = None
    keeps_external_ids: bool = False


@dataclass(frozen=True, slots=True)
class KeptWorkflow:
    """A workflow's rule, and what would be deleted of it now.

    Attributes:
        rule: How long its instances are kept.
        prunable_trees: How many instances without a parent are old enough; those with an open descendant stay, though.
        has_more: Whether there are more than that.
        oldest_end: When the first of these ended, in microseconds since 1970 UTC; None if there is none.
    """

    rule: RetentionRule
    prunable_trees: int
    has_more: bool
    oldest_end: int | None


async def preview_prune(
    store: Store, definitions: Iterable[Definition], request: PruneRequest, *, default: timedelta
) -> list[KeptWorkflow]:
    """Return the workflows with what would be deleted of each, by name. At most 10,000 trees of a status are counted.

    Args:
        store: The database.
        definitions: The definitions of this process.
        request: What is to be deleted.
        default: How long instances are kept of workflows that say nothing.

    Raises:
        UnknownWorkflowError: If the request names a workflow of which nothing is known.
        StoreUnavailableError: If the database is unavailable.
    """
    now = store.clock.now()
    found = []
    for rule in await _read_rules(store, definitions, request, default):
        ranges = list_ranges(rule, now=now, before=request.before)
        counts = [await count_ended_roots(store.connections, one) for one in ranges]
        ends = [end for one in ranges if (end := await find_oldest_end(store.connections, one)) is not None]
        shown = sum(min(count, MAX_COUNTED_TREES) for count in counts)
        has_more = any(count > MAX_COUNTED_TREES for count in counts)
        found.append(KeptWorkflow(rule, shown, has_more, min(ends, default=None)))
    return found


async def prune(
    store: Store,
    definitions: Iterable[Definition],
    request: PruneRequest,
    *,
    username: str,
    default: timedelta,
    rest_factor: float = 0,
) -> AsyncGenerator[Deleted, None]:
    """Delete what is old enough and whose tree has ended, and yield what each transaction has deleted.

    Args:
        store: The database.
        definitions: The definitions of this process.
        request: What is to be deleted.
        username: Who deletes.
        default: How long instances are kept of workflows that say nothing.
        rest_factor: A rest of so many times as long as a transaction took follows each one.

    Raises:
        UnknownWorkflowError: If the request names a workflow of which nothing is known.
        StoreUnavailableError: If the database is unavailable.
    """
    ranges: list[EndedRange] = []
    for rule in await _read_rules(store, definitions, request, default):
        ranges += list_ranges(rule, now=store.clock.now(), before=request.before)
    entry = AuditEntry(username, AuditAction.RETENTION_PRUNED, request.type or "all workflows")
    await store.audit.write(entry, now=store.clock.now())
    async for deleted in prune_ranges(
        store, ranges, keeps_external_ids=request.keeps_external_ids, rest_factor=rest_factor
    ):
        yield deleted


async def _read_rules(
    store: Store, definitions: Iterable[Definition], request: PruneRequest, default: timedelta
) -> list[RetentionRule]:
    rules = await read_retention_rules(store, definitions, default=default)
    if request.type is None:
        return rules
    found = [rule for rule in rules if rule.type == request.type]
    if not found:
        known = ", ".join(rule.type for rule in rules) or "none"
        raise UnknownWorkflowError(f"no workflow is called {request.type!r}. Known: {known}.")
    return found


async def read_prune_lag_seconds(store: Store, definitions: Iterable[Definition], *, default: timedelta) -> float:
    """Return for how long the root that could have been deleted first has been old enough, in seconds; 0 for none.

    A root whose descendants are still open counts too.

    Args:
        store: The database.
        definitions: The definitions of this process.
        default: How long instances are kept of workflows that say nothing.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    now = store.clock.now()
    rules = await read_retention_rules(store, definitions, default=default)
    ranges = [one for rule in rules for one in list_ranges(rule, now=now)]
    ends = [await find_oldest_end(store.connections, one) for one in ranges]
    ages = [one.before - end for one, end in zip(ranges, ends, strict=True) if end is not None]
    return max(ages, default=0) / MICROSECONDS_PER_SECOND


async def describe_retention(store: Store, definitions: Iterable[Definition], *, default: timedelta) -> list[str]:
    """Return what is kept, in one line for each workflow whose instances are ever deleted, or one line that none are.

    Args:
        store: The database.
        definitions: The definitions of this process.
        default: How long instances are kept of workflows that say nothing.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    rules = [rule for rule in await read_retention_rules(store, definitions, default=default) if rule.deletes]
    if not rules:
        return ["Ended instances are kept for ever: FLOWLET_KEEP is not set, and no workflow has keep=."]
    return [f"Kept: {rule.type} for {describe_rule(rule)}." for rule in rules]


def describe_rule(rule: RetentionRule) -> str:
    """Return how long instances are kept, and who says so."""
    words: Sequence[str] = [format_keep_period(rule.keep)]
    if rule.keep_failed != rule.keep:
        words = [*words, f"failed ones {format_keep_period(rule.keep_failed)}"]
    source = "FLOWLET_KEEP" if rule.source is RuleSource.SETTING else f"keep= of version {rule.version}"
    return f"{', '.join(words)} ({source})"
