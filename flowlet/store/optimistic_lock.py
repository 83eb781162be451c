"""The optimistic lock: an operation may name the version that its caller has read.

Each row that people change has a version, which every change raises. The check runs while the transaction holds the
row's lock, so of two callers that have read the same version only one succeeds.
"""

from __future__ import annotations

from flowlet.errors import StaleError

__all__ = ["check_version"]


def check_version(subject: str, version: int, expected_version: int | None, *, changed_by: str | None = None) -> None:
    """Check that a row still has the version that the caller has read.

    Args:
        subject: How the message names the row, such as "user 'ada'".
        version: The row's version now.
        expected_version: The version that the caller has read; None skips the check.
        changed_by: Who changed the row last, if that is known.

    Raises:
        StaleError: If the row has another version.
    """
    if expected_version not in (None, version):
        raise StaleError(subject, version=version, expected_version=expected_version, changed_by=changed_by)
