"""The gate of an instance whose next attempt needs a slot of a limit.

``limit:<type>/<state>/<key>``: the first part stands for the workflow, so that an executor finds the gates of its own
workflows by their beginning; the state is ``*`` where a limit holds for the whole workflow; the key is the value of the
variable that the limit counts by, or empty. Up to the second slash it is the scope, which has a row of its own.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, NamedTuple

from flowlet.instance.json_text import parse_optional_object, write_json

__all__ = [
    "LIMIT_PREFIX",
    "NO_VALUE",
    "WHOLE_WORKFLOW",
    "LimitGate",
    "build_scope",
    "compute_end",
    "compute_type_mark",
    "format_key",
    "is_in_scope",
    "is_limit_gate",
]

LIMIT_PREFIX = "limit:"
WHOLE_WORKFLOW = "*"
"""What stands for the state in the scope of a limit of a whole workflow."""
NO_VALUE = "(none)"
"""The key of instances whose variable is null or missing: they count together. A text is never equal to it."""
MAX_KEY_LENGTH = 80
MARK_LENGTH = 12

# No space at its end: MariaDB and MySQL compare texts as if padded with spaces.
_PLAIN_KEY = re.compile(r"[\w.@:+-](?:[\w .@:+-]*[\w.@:+-])?")
_ODD_CHARACTERS = re.compile(r"[^\w.@:+-]+")


class LimitGate(NamedTuple):
    """The parts of such a gate; ``state`` is ``*`` for a whole workflow."""

    scope: str
    state: str
    key: str

    @classmethod
    def parse(cls, gate: str | None) -> LimitGate | None:
        """Return a gate of this kind; None for any other one, and for None."""
        if gate is None or not gate.startswith(LIMIT_PREFIX) or gate.count("/") < 2:
            return None
        mark, state, key = gate.split("/", 2)
        return cls(f"{mark}/{state}", state, key)


def is_limit_gate(gate: str | None) -> bool:
    """Return whether a gate is one of this kind."""
    return gate is not None and gate.startswith(LIMIT_PREFIX)


def is_in_scope(gate: str | None, scope: str) -> bool:
    """Return whether a gate belongs to a scope."""
    return gate is not None and gate.startswith(f"{scope}/")


def compute_type_mark(type: str) -> str:
    """Return how the gates of a workflow begin, up to the first slash."""
    return f"{LIMIT_PREFIX}{hashlib.sha256(type.encode()).hexdigest()[:MARK_LENGTH]}"


def build_scope(type: str, state: str | None) -> str:
    """Return the scope of a state's limits, or of a whole workflow's."""
    return f"{compute_type_mark(type)}/{state or WHOLE_WORKFLOW}"


def compute_end(prefix: str) -> str:
    """Return the first text behind all gates that begin with a scope, or with a workflow's mark, and a slash."""
    return prefix + chr(ord("/") + 1)


def format_key(vars_json: str, variable: str | None) -> str:
    """Return the key of an instance: its variable's value, or a digest of one that is long or has odd characters.

    Args:
        vars_json: The variables, as JSON text.
        variable: The name of the variable; None for no key.
    """
    if variable is None:
        return ""
    value = (parse_optional_object(vars_json) or {}).get(variable)
    if value is None:
        return NO_VALUE
    text = value if isinstance(value, str) else _write_value(value)
    if len(text) <= MAX_KEY_LENGTH and _PLAIN_KEY.fullmatch(text):
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{_ODD_CHARACTERS.sub('-', text[:40])}~{digest}"


def _write_value(value: Any) -> str:
    return write_json(value, is_sorted=True)
