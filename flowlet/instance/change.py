"""A change of an instance outside of an activation: by an operator, a repair, or an executor that stops."""

from __future__ import annotations

from dataclasses import dataclass, replace

from flowlet.instance.instance import Action, Instance

__all__ = ["Change"]


@dataclass(frozen=True, slots=True)
class Change:
    """An instance before and after, and the lines of history that tell it. ``version`` is set by the store.

    Attributes:
        keeps_version: Whether the commit of the activation in flight is still to match: a pause that is asked for, or
            taken back. Every other change raises the version.
    """

    before: Instance
    after: Instance
    actions: tuple[Action, ...]
    keeps_version: bool = False

    @property
    def stored_instance(self) -> Instance:
        """The instance as the store holds it afterwards."""
        return replace(self.after, version=self.before.version + (not self.keeps_version))
