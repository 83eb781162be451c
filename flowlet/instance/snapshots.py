"""Snapshots of variables in the history: when a line that changes them also keeps all of them."""

from __future__ import annotations

__all__ = ["MAX_CHANGED_LINES", "MIN_SNAPSHOT_CHARACTERS", "record_change"]

MAX_CHANGED_LINES = 500
"""How many lines that change variables may follow a snapshot, where the variables keep their size."""
MIN_SNAPSHOT_CHARACTERS = 1_000
"""Variables that are shorter count as if they had so many characters: a few lines are read as fast as a snapshot."""


def record_change(vars_json: str, changes_json: str, *, unsnapped: int) -> tuple[str | None, int]:
    """Return the snapshot that a line needs, or None, and the instance's ``unsnapped_characters`` after the line.

    It is decided by that number, which the instance's row keeps: no history is read for it. It grows by the characters
    of each line's changes, and by the 500th part of the variables'; a snapshot is due when it exceeds the variables'
    characters. Therefore a history is never much longer than twice its changes, and the variables at any line follow
    from one snapshot and changes that are together not longer than the variables, in at most about 500 lines.

    Args:
        vars_json: The variables after the line.
        changes_json: The line's changes.
        unsnapped: The instance's ``unsnapped_characters`` before it.
    """
    characters = max(len(vars_json), MIN_SNAPSHOT_CHARACTERS)
    grown = unsnapped + len(changes_json) + -(-characters // MAX_CHANGED_LINES)
    return (vars_json, 0) if grown > characters else (None, grown)
