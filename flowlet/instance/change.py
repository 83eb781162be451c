"""A change of an instance outside an activation: by an operator, by a repair, or by an executor that stops."""

from __future__ import annotations

from dataclasses import dataclass, replace

from flowlet.instance.instance import Action, Instance

__all__ = ["Change"]


@dataclass(frozen=True, slots=True)
class Change:
    """An instance before and after a change, and the lines of history that record it.

    Attributes:
        before: The instance before the change.
        after: The instance after it; the store sets its ``version``.
        actions: The lines of history.
        keeps_version: Whether the version stays the same, so that the running activation can still commit: True when a
            pause is requested or withdrawn. Every other change increments the version.
    """

    before: Instance
    after: Instance
    actions: tuple[Action, ...]
    keeps_version: bool = False

    @property
    def stored_instance(self) -> Instance:
        """The instance as it is stored after the change."""
        return replace(self.after, version=self.before.version + (not self.keeps_version))
