"""The definition that has the states and transitions of two versions, to draw what differs between them."""

from __future__ import annotations

from typing import Any

from flowlet.definition.definition import Definition
from flowlet.definition.snapshot import restore_definition
from flowlet.definition.versions.differences import DefinitionDifference, Document

__all__ = ["merge_versions"]


def merge_versions(old: Document, new: Document, difference: DefinitionDifference) -> Definition:
    """Return the newer version with the states and transitions that only the older one has; it can only be drawn.

    Args:
        old: The document of the older version.
        new: The document of the newer version.
        difference: What differs from the one to the other.
    """
    present: dict[str, str] = {former: name for name, former in difference.renamed_states.items()}
    labels: dict[tuple[str, str], str] = {}
    for state in old["states"]:
        source: str = state["name"]
        for edge in state["transitions"]:
            target: str = edge["target"]
            labels[present.get(source, source), present.get(target, target)] = edge["label"]
    kept = [state for state in old["states"] if state["name"] in difference.removed_states]
    states = [_add_removed({**state, "renamedFrom": []}, labels, difference) for state in (*new["states"], *kept)]
    return restore_definition({**new, "states": states})


def _add_removed(
    state: dict[str, Any], labels: dict[tuple[str, str], str], difference: DefinitionDifference
) -> dict[str, Any]:
    """Return a state with its removed transitions."""
    removed = [pair for pair in labels if pair[0] == state["name"] and pair in difference.removed_transitions]
    is_removed = state["name"] in difference.removed_states
    edges = [] if is_removed else state["transitions"]
    return {**state, "transitions": [*edges, *({"target": pair[1], "label": labels[pair]} for pair in removed)]}
