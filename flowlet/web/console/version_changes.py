"""What differs between two stored versions of a definition, as its page shows it: in words and in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from markupsafe import Markup

from flowlet.definition.versions.definition_change import DefinitionChange, DifferenceKind
from flowlet.definition.versions.differences import compare_documents
from flowlet.definition.versions.merged import merge_versions
from flowlet.diagram.overlay import ChangeOverlay
from flowlet.diagram.svg import render_svg
from flowlet.store.definitions import StoredDefinition
from flowlet.text import parse_number
from flowlet.web.console.charts import ChartSegment
from flowlet.web.console.definition_rows import build_definition_url

__all__ = ["CHANGE_TONES", "VersionChanges", "build_changes_url", "find_version_changes"]

CHANGE_TONES = {
    DifferenceKind.ADDED: "ok",
    DifferenceKind.REMOVED: "err",
    DifferenceKind.RENAMED: "accent",
    DifferenceKind.CHANGED: "accent",
}
"""The tone of each kind of difference, which is also its colour in the picture."""


@dataclass(frozen=True, slots=True)
class VersionChanges:
    """The differences of two stored versions.

    Attributes:
        old: The older one.
        new: The newer one.
        changes: The differences, in words.
        diagram: The states and transitions of both, with what differs marked.
    """

    old: StoredDefinition
    new: StoredDefinition
    changes: tuple[DefinitionChange, ...]
    diagram: Markup

    @property
    def legend(self) -> list[ChartSegment]:
        """What the colours of the picture mean."""
        return [
            ChartSegment("added", "ok"),
            ChartSegment("removed", "err"),
            ChartSegment("changed or renamed", "accent"),
        ]


def build_changes_url(old: StoredDefinition, new: StoredDefinition) -> str:
    """Return the URL of the page with the differences of two stored versions."""
    times = urlencode({"from": old.created, "to": new.created})
    return f"{build_definition_url(new.name)}?{times}#changes"


def find_version_changes(history: Sequence[StoredDefinition], since: str, until: str) -> VersionChanges | None:
    """Return the differences of the two versions that were stored at these times; None if one of them is unknown.

    Args:
        history: The stored versions.
        since: When the older one was stored, in microseconds since 1970 UTC, as the URL has it.
        until: The same of the newer one.
    """
    by_time = {stored.created: stored for stored in reversed(history)}
    old, new = by_time.get(parse_number(since) or 0), by_time.get(parse_number(until) or 0)
    if old is None or new is None:
        return None
    difference = compare_documents(old.document, new.document)
    overlay = ChangeOverlay(
        added=difference.added_states,
        removed=difference.removed_states,
        renamed=difference.renamed_states,
        changed=difference.changed_states,
        added_transitions=difference.added_transitions,
        removed_transitions=difference.removed_transitions,
    )
    drawn = render_svg(merge_versions(old.document, new.document, difference), overlay)
    return VersionChanges(old, new, difference.changes, Markup(drawn))  # noqa: S704 - built from escaped texts
