"""The gate of an instance that some versions of its workflow cannot run: which ones, in one short text.

``version:<lane>/<digest>,<digest>``: the lane stands for the workflow and the executor group, so that an executor finds
the gates of its own lanes by their beginning; each digest is that of an executor's definitions under which the instance
could not run. Two executors that both cannot run it are both listed, and do not hand it to and fro.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

__all__ = ["GATE_PREFIX", "VersionGate", "compute_lane"]

GATE_PREFIX = "version:"
MAX_DIGESTS = 16
"""How many digests a gate lists: the column takes 255 characters. The oldest one gives way."""


@dataclass(frozen=True, slots=True)
class VersionGate:
    """A version gate.

    Attributes:
        lane: The lane, as ``compute_lane`` returns it.
        digests: The digests of the definitions that could not run the instance, the latest one last.
    """

    lane: str
    digests: tuple[str, ...] = ()

    @classmethod
    def parse(cls, gate: str | None) -> VersionGate | None:
        """Return a gate of this kind; None for any other one, and for None."""
        if gate is None or not gate.startswith(GATE_PREFIX):
            return None
        lane, _, digests = gate.removeprefix(GATE_PREFIX).partition("/")
        return cls(lane, tuple(digests.split(",")))

    def add(self, digest: str) -> VersionGate:
        """Return the gate that also lists a digest."""
        others = [one for one in self.digests if one != digest]
        return VersionGate(self.lane, (*others, digest)[-MAX_DIGESTS:])

    def __str__(self) -> str:
        return f"{GATE_PREFIX}{self.lane}/{','.join(self.digests)}"


def compute_lane(type: str, group: str) -> str:
    """Return twelve characters for a workflow and an executor group."""
    return hashlib.sha256(f"{type}\0{group}".encode()).hexdigest()[:12]
