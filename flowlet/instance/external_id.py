"""The external ids that Flowlet makes."""

from __future__ import annotations

import os
import uuid

__all__ = ["generate_external_id"]


def generate_external_id(now: int) -> str:
    """Return a UUID of version 7 (RFC 9562): a time and 74 random bits.

    New ones are written to the end of the unique index. Random ones are written all over it: with ten million instances
    on PostgreSQL a create of 100 took three times as long.

    Args:
        now: In microseconds since 1970 UTC.
    """
    random = int.from_bytes(os.urandom(10))
    high = (now // 1_000 & 0xFFFF_FFFF_FFFF) << 16 | 0x7000 | random >> 68
    return str(uuid.UUID(int=high << 64 | 0b10 << 62 | random & 0x3FFF_FFFF_FFFF_FFFF))
