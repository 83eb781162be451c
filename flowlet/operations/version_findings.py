"""The doctor's findings about versions: instances that wait for another one, and those that modules could not run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flowlet.clock import MICROSECONDS_PER_SECOND
from flowlet.definition.definition import Definition
from flowlet.engine.gates.version_check import find_incompatible_instances
from flowlet.instance.version_gate import VersionGate
from flowlet.store.executors import ExecutorRecord
from flowlet.store.gates.gated_instances import GatedGroup, read_gated_groups
from flowlet.store.opening import Store

__all__ = ["describe_gated_group", "describe_incompatible_instances", "find_gated_groups"]

GATED_SECONDS = 60
"""How long instances have waited for another version before it is a finding: a deploy takes a while."""
MAX_NAMED_EXECUTORS = 5


async def find_gated_groups(store: Store) -> list[GatedGroup]:
    """Return the instances that have waited for another version for more than a minute, by workflow and state.

    Raises:
        StoreUnavailableError: If the database cannot be reached.
    """
    now = await store.read_clock()
    return await read_gated_groups(store.connections, gated_before=now - GATED_SECONDS * MICROSECONDS_PER_SECOND)


def describe_gated_group(group: GatedGroup, live: Iterable[ExecutorRecord]) -> str:
    """Return how many instances wait, why the first one does, and whether a live executor may still run them.

    Args:
        group: The instances.
        live: The executors that claim; those of other workflows and groups do not matter.
    """
    serving = [record for record in live if group.type in record.types and group.group in record.groups]
    number = f"{group.count:,} of {group.type!r} in state {group.state!r}, in the executor group {group.group!r},"
    have = "has" if group.count == 1 else "have"
    waited = f"{number} {have} waited for another version for more than {GATED_SECONDS} s"
    reason = group.reason.partition(": ")[2] or group.reason or "no reason is recorded"
    return f"{waited}; {group.first_id} is the first: {reason}. {_describe_executors(group, serving)}"


async def describe_incompatible_instances(store: Store, definitions: Iterable[Definition]) -> list[tuple[int, str]]:
    """Return the first instance and the message of each kind of instances that definitions cannot run.

    Raises:
        StoreUnavailableError: If the database cannot be reached.
    """
    found = await find_incompatible_instances(store, definitions)
    return [(one.ids[0], one.message) for one in found]


def _describe_executors(group: GatedGroup, serving: Sequence[ExecutorRecord]) -> str:
    gate = VersionGate.parse(group.gate)
    refused = gate.digests if gate else ()
    untried = [record for record in serving if record.digest not in refused]
    cure = "Deploy a version that can, move them, or cancel them."
    if not serving:
        return f"No live executor of this group has loaded this workflow. {cure}"
    if not untried:
        return f"No live executor can run them: {_list_executors(serving, group.type)} could not. {cure}"
    named = _list_executors(untried, group.type)
    return f"Not tried yet by {named}: is each of them busy, or stuck?"


def _list_executors(records: Sequence[ExecutorRecord], type: str) -> str:
    named = [f"{record.name!r} (version {record.versions.get(type, '?')})" for record in records[:MAX_NAMED_EXECUTORS]]
    more = len(records) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")
