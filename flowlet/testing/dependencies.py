"""The resources of handlers under test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowlet.definition.dependencies import Dependencies

__all__ = ["build_dependencies"]


def build_dependencies(provide: Mapping[Any, object] | Dependencies | None) -> Dependencies:
    """Return the resources that a test provides: a ``Dependencies``, or objects by their type; None for none."""
    if isinstance(provide, Dependencies):
        return provide
    provided = Dependencies()
    for type, instance in (provide or {}).items():
        provided.provide_value(type, instance)
    return provided
