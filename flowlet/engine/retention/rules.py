"""The rules of retention: how long the ended instances of each workflow are kept, and who says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from flowlet.clock import to_microseconds
from flowlet.definition.definition import Definition
from flowlet.definition.snapshot import restore_keep
from flowlet.instance.instance import Status
from flowlet.instance.keep_period import ALWAYS, MIN_KEEP_PERIOD
from flowlet.store.executors import ExecutorRecord
from flowlet.store.opening import Store
from flowlet.store.retention.ended_trees import EndedRange
from flowlet.workflow.keep import Keep

__all__ = ["ENDED_BEFORE_MICROSECONDS", "RetentionRule", "RuleSource", "list_ranges", "read_retention_rules"]

ENDED_BEFORE_MICROSECONDS = to_microseconds(MIN_KEEP_PERIOD)
"""What ended less long ago than this is never deleted."""
MAX_EXECUTORS = 10_000


class RuleSource(StrEnum):
    """What says how long the instances of a workflow are kept."""

    WORKFLOW = "workflow"
    """``keep=`` of the workflow."""
    SETTING = "setting"
    """``FLOWLET_KEEP``."""


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """How long the instances of a workflow are kept after they have ended.

    Attributes:
        type: The workflow's name.
        keep: How long FINISHED and CANCELLED ones are kept; ``ALWAYS`` for always.
        keep_failed: The same for FAILED ones.
        source: What says so.
        version: The version of the workflow that does; None if no definition of it is known.
        pruner_id: The executor that deletes them; None if none runs.
    """

    type: str
    keep: timedelta
    keep_failed: timedelta
    source: RuleSource
    version: int | None = None
    pruner_id: str | None = None

    @property
    def deletes(self) -> bool:
        """Whether any of its instances is ever deleted."""
        return self.keep != ALWAYS or self.keep_failed != ALWAYS


async def read_retention_rules(
    store: Store, definitions: Iterable[Definition], *, default: timedelta
) -> list[RetentionRule]:
    """Return the rule of each workflow that is loaded, served, stored or has ended instances, by name.

    The highest version that a live executor has loaded says how long instances are kept: after a rollback that is the
    older one again. Where none is loaded, it is the highest one that was ever served. The workflow's executors share
    its deletion without a lock: it is done by the first of those that have loaded this version.

    Args:
        store: The database.
        definitions: The definitions of this process.
        default: How long instances are kept of workflows that say nothing; ``ALWAYS`` for always.

    Raises:
        StoreUnavailableError: If the database is unavailable.
    """
    own = {(one.name, one.version): one.keep for one in definitions}
    live = [one for one in await store.executors.list_all(limit=MAX_EXECUTORS) if one.status == "RUNNING"]
    stored = await _read_stored_keeps(store)
    ended = {type for type, _ in await store.counters.count_ended_instances()}
    names = ended | {name for name, _ in (*own, *stored)} | {name for one in live for name in one.versions}
    return [_build_rule(name, live, own, stored, default) for name in sorted(names)]


async def _read_stored_keeps(store: Store) -> dict[tuple[str, int], Keep | None]:
    """Return what the newest shape of each stored version says."""
    documents = await store.definitions.read_documents()
    return {key: restore_keep(shapes[-1]) for key, shapes in documents.items()}


def _build_rule(
    name: str,
    live: Sequence[ExecutorRecord],
    own: Mapping[tuple[str, int], Keep | None],
    stored: Mapping[tuple[str, int], Keep | None],
    default: timedelta,
) -> RetentionRule:
    served = max((one.versions[name] for one in live if name in one.versions), default=None)
    known = max((version for type, version in (*own, *stored) if type == name), default=None)
    version = known if served is None else served
    pruners = [one.id for one in live if served is None or one.versions.get(name) == served]
    pruner_id = min(pruners, default=None)
    key = (name, version or 0)
    keep = own[key] if key in own else stored.get(key)
    if keep is None:
        return RetentionRule(name, default, default, RuleSource.SETTING, version, pruner_id)
    return RetentionRule(name, keep.length, keep.failed_length, RuleSource.WORKFLOW, version, pruner_id)


def list_ranges(rule: RetentionRule, *, now: int, before: int | None = None) -> list[EndedRange]:
    """Return which roots of a workflow are old enough to be deleted.

    Args:
        rule: The workflow's rule.
        now: The store's time, in microseconds since 1970 UTC.
        before: Take those that ended before this time instead, whatever the rule says; at most up to a minute ago.
    """
    lengths = {Status.FINISHED: rule.keep, Status.CANCELLED: rule.keep, Status.FAILED: rule.keep_failed}
    latest = now - ENDED_BEFORE_MICROSECONDS
    if before is not None:
        return [EndedRange(rule.type, status, min(before, latest)) for status in lengths]
    return [
        EndedRange(rule.type, status, min(now - to_microseconds(length), latest))
        for status, length in lengths.items()
        if length != ALWAYS
    ]
