"""Rules about creates and families: what was acknowledged exists once, and parents and children agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tests.chaos.evidence import Evidence, Line, Workflow
from tests.chaos.findings import Fault
from tests.chaos.history_rules import list_runs
from tests.chaos.model import ONE_COMMIT, SCHEDULES, count_children

__all__ = ["check_creates", "check_families"]


def check_creates(evidence: Evidence) -> Iterator[Fault]:
    """Check that every acknowledged create is there once, and that nothing else is there but children."""
    rows = Counter(workflow.external_id for workflow in evidence.workflows.values())
    for external_id in sorted(evidence.acknowledged | rows.keys()):
        if rows[external_id] != 1:
            yield external_id, f"its create was acknowledged, and it has {rows[external_id]} rows"
    for workflow in evidence.workflows.values():
        is_scheduled = workflow.external_id.partition("@")[0] in SCHEDULES
        if workflow.parent_id is None and not is_scheduled and workflow.external_id not in evidence.requested:
            yield workflow, "its create was never requested"


def check_families(evidence: Evidence) -> Iterator[Fault]:
    """Check counts of children against their rows, and what a parent has read against what its children wrote."""
    for id, children in evidence.children.items():
        if id not in evidence.workflows:
            yield f"workflow {id}", f"it has no row, and is the parent of {', '.join(map(str, children))}"
    for workflow in evidence.workflows.values():
        children = evidence.children.get(workflow.id, ())
        unmade = evidence.unmade.get(workflow.id, 0)
        faults = _find_count_faults(workflow, children, unmade)
        yield from ((workflow, fault) for fault in faults)
        if workflow.type == "Voyage":
            runs = list_runs(workflow, evidence.lines.get(workflow.id, ()))
            yield from ((workflow, fault) for fault in _find_parent_faults(evidence, workflow, children, runs))


def _find_count_faults(workflow: Workflow, children: Sequence[Workflow], unmade: int) -> Iterator[str]:
    """Yield the wrong counts; children of a large spawn that are still to be made are open ones."""
    open_count = sum(not child.has_ended for child in children) + unmade
    if workflow.children != len(children) + unmade:
        yield f"it counts {workflow.children} children, but has {len(children) + unmade}"
    if workflow.open_children != open_count:
        yield f"it counts {workflow.open_children} open children, but {open_count} are open"


def _find_parent_faults(
    evidence: Evidence, workflow: Workflow, children: Sequence[Workflow], runs: Sequence[Line]
) -> Iterator[str]:
    """Yield what is wrong about a voyage's children. What was still to be made when it was cancelled is dropped."""
    count = count_children(workflow.vars)
    expected = count * sum(line.from_state == "rest" for line in runs)
    may_be_fewer = workflow.status == "CANCELLED" and count > ONE_COMMIT
    if len(children) > expected or (len(children) < expected and not may_be_fewer):
        yield f"its path creates {expected} children, but it has {len(children)}"
    for line in runs:
        if line.from_state == "collect":
            yield from _find_collection_faults(evidence, workflow, children, line)


def _find_collection_faults(
    evidence: Evidence, workflow: Workflow, children: Sequence[Workflow], collection: Line
) -> Iterator[str]:
    """Yield what is wrong about one run of ``collect``: a child that was still open, or another sum of weights."""
    weight = 0
    for child in children:
        lines = evidence.lines.get(child.id, ())
        if not lines or lines[0].id > collection.id:
            continue  # a later round has created it
        last = max((line.id for line in lines if line.kind in ("TRANSITION", "MOVED", "CANCELLED")), default=0)
        if not child.has_ended or last > collection.id:
            yield f"line {collection.id} has collected its children before {child} ended"
        weight += int(child.vars["weight"]) if child.status == "FINISHED" else 0
    found = workflow.vars["weights"].get(str(collection.visit))
    if found != weight:
        yield f"in visit {collection.visit} it has read the weight {found}, but its children have {weight}"
