"""The faults of names and keys from outside: external ids, business keys, and those of messages."""

from __future__ import annotations

from flowlet.text import MAX_IDENTIFIER_LENGTH, find_text_fault, is_one_line

__all__ = ["find_identifier_faults"]


def find_identifier_faults(**texts: str | None) -> dict[str, str]:
    """Return the faults of names and keys from outside, by the names under which they are given; None has none."""
    faults = {}
    for name, text in texts.items():
        if text is None:
            continue
        if not isinstance(text, str) or not 1 <= len(text) <= MAX_IDENTIFIER_LENGTH:
            faults[name] = f"has to be a text of 1 to {MAX_IDENTIFIER_LENGTH} characters"
        elif text != text.strip():
            faults[name] = "begins or ends with white space"
        elif fault := find_text_fault(text):
            faults[name] = fault
        elif not is_one_line(text):
            faults[name] = "contains a line end or another control character"
    return faults
