"""Rules about histories: each is a path of the declared graph, and variables and counters say the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from tests.chaos.evidence import ENTRY_KINDS, Evidence, Line, Workflow
from tests.chaos.findings import Fault
from tests.chaos.model import MODELS, compute_checksum, measure_voyage, weigh_child

__all__ = ["check_counters", "check_histories", "check_operations", "check_variables", "list_runs"]

COUNTED_ENDS = ("FINISHED", "FAILED", "CANCELLED")


def check_histories(evidence: Evidence) -> Iterator[Fault]:
    """Check that each history is a path from the start to the state of the row, with each transition once."""
    for workflow in evidence.workflows.values():
        lines = evidence.lines.get(workflow.id, ())
        yield from ((workflow, fault) for fault in _find_path_faults(workflow, lines))
    for id, lines in evidence.lines.items():
        if id not in evidence.workflows:
            yield f"workflow {id}", f"it has {len(lines)} lines of history, and no row"


def check_operations(evidence: Evidence) -> Iterator[Fault]:
    """Check that the history has a line for each operation that was acknowledged."""
    for (id, kind), number in evidence.operations.items():
        found = sum(line.kind == kind for line in evidence.lines.get(id, ()))
        if found < number:
            yield (
                evidence.workflows.get(id, id),
                f"{number} times {kind} was acknowledged, but it has {found} such lines",
            )


def check_variables(evidence: Evidence) -> Iterator[Fault]:
    """Check that the variables are those that the states of the path write, each once and in order."""
    for workflow in evidence.workflows.values():
        runs = list_runs(workflow, evidence.lines.get(workflow.id, ()))
        expected = {"path": [line.from_state for line in runs], "checksum": _compute_path_checksum(runs)}
        if workflow.type == "Voyage":
            expected["rounds"] = sum(line.from_state == "collect" for line in runs)
            if any(line.from_state == "measure" for line in runs):
                expected["length"] = measure_voyage(workflow.vars)
        else:
            expected["weight"] = weigh_child(workflow.type, workflow.vars) if expected["path"] else 0
        found = {name: workflow.vars.get(name) for name in expected}
        if found != expected:
            yield workflow, f"its variables are {found}, but its path writes {expected}"


def check_counters(evidence: Evidence) -> Iterator[Fault]:
    """Check that the counters of each type equal a recount of all lines and all ends."""
    recount: Counter[tuple[str, str]] = Counter()
    for workflow in evidence.workflows.values():
        kinds = Counter(line.kind for line in evidence.lines.get(workflow.id, ()))
        recount[workflow.type, "TRANSITION"] += kinds["TRANSITION"]
        recount[workflow.type, "ERROR"] += kinds["ERROR"]
        if workflow.ended is not None:
            recount[workflow.type, workflow.status] += 1
    for type in {workflow.type for workflow in evidence.workflows.values()} | evidence.counters.keys():
        names = ("TRANSITION", "ERROR", *COUNTED_ENDS)
        expected = tuple(recount[type, name] for name in names)
        found = evidence.counters.get(type, (0,) * len(names))
        if found != expected:
            yield type, f"{', '.join(names)}: counted {found}, but there are {expected}"


def list_runs(workflow: Workflow, lines: Sequence[Line]) -> list[Line]:
    """Return the transitions of an instance that a handler has led to, in order."""
    edges = MODELS[workflow.type].edges
    return [
        line
        for line in lines
        if line.kind == "TRANSITION" and edges.get((line.from_state or "", line.to_state or ""), True)
    ]


def _find_path_faults(workflow: Workflow, lines: Sequence[Line]) -> Iterator[str]:
    model = MODELS[workflow.type]
    entries = [line for line in lines if line.kind in ENTRY_KINDS]
    if not entries or entries[0].kind != "CREATED" or entries[0].to_state != model.start:
        yield f"its history begins with {entries[:1]}, not with its creation in {model.start!r}"
        return
    for before, line in pairwise(entries):
        edge = (line.from_state or "", line.to_state or "")
        if line.from_state != before.to_state:
            yield f"line {line.id} leaves {line.from_state!r}, but line {before.id} entered {before.to_state!r}"
        elif edge not in model.edges or line.kind == "CREATED":
            yield f"line {line.id}, {line.kind}, goes from {edge[0]!r} to {edge[1]!r}: no transition of the graph"
    if entries[-1].to_state != workflow.state:
        yield f"its history ends in {entries[-1].to_state!r}"
    if workflow.visit != len(entries) - 1:
        yield f"its row counts {workflow.visit} visits, but its history has {len(entries) - 1}"
    expected = "CANCELLED" if any(line.kind == "CANCELLED" for line in lines) else model.ends.get(workflow.state)
    if (workflow.status if workflow.has_ended else None) != expected:
        yield f"by its history its status is {expected or 'open'}"


def _compute_path_checksum(runs: Sequence[Line]) -> int:
    return compute_checksum([(line.visit, line.from_state or "") for line in runs])
