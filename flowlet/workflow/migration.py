"""``migrate``: how the variables of an earlier version become those of the next one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["MigrationFunction", "VarsMigration", "migrate"]

MigrationFunction = Callable[[dict[str, Any]], dict[str, Any]]
"""Takes the stored variables as plain JSON values, and returns those of the next version."""


@dataclass(frozen=True, slots=True, eq=False)
class VarsMigration:
    """A step from the variables of one version to those of the next one. ``migrate`` returns one.

    Calling it calls the plain function, so a migration can be tested like any function.

    Attributes:
        from_version: The highest version of the workflow whose variables it takes.
        function: Returns the variables of the next version.
        file: The file in which it is defined.
        line: The line, counted from 1.
    """

    from_version: int
    function: MigrationFunction
    file: str
    line: int

    def __call__(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Call the plain function."""
        return self.function(variables)

    @property
    def name(self) -> str:
        """The name of the function."""
        return getattr(self.function, "__name__", type(self.function).__name__)


def migrate(*, from_version: int) -> Callable[[MigrationFunction], VarsMigration]:
    """Make a function the migration of variables that versions up to ``from_version`` of the workflow have written.

    It takes the stored variables, as a dict of plain JSON values that it may change, and returns those of the next
    version. It runs when an instance with such variables is next loaded, and what it returns is stored with the
    instance's next transition. Migrations of several versions run one after another. A version of the workflow
    without the migration never runs an instance whose variables have been migrated.

    Args:
        from_version: The highest version of the workflow whose variables it takes; below the workflow's own.
    """

    def decorate(function: MigrationFunction) -> VarsMigration:
        code = inspect.unwrap(function).__code__
        return VarsMigration(from_version, function, code.co_filename, code.co_firstlineno)

    return decorate
