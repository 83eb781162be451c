"""Texts as every database can hold them: no NUL, no half of a surrogate pair, and of a bounded length. And numbers."""

from __future__ import annotations

__all__ = ["DETAIL_LIMIT", "REASON_LIMIT", "TEXT_LIMIT", "cleaned", "cleaned_ends", "number_in"]

TEXT_LIMIT = 8_000
"""Characters of an action's text."""
REASON_LIMIT = 2_000
"""Characters of an instance's reason."""
DETAIL_LIMIT = 16_000
"""Characters of an action's detail: a traceback."""

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def cleaned(text: object, limit: int = TEXT_LIMIT) -> str:
    """Return a text as it can be stored; what is too long loses its end, and says how much.

    NUL, which PostgreSQL refuses, and halves of surrogate pairs, which are no characters, become U+FFFD.

    Args:
        text: Anything; what is no text is taken as ``str`` shows it.
        limit: The most characters that the answer has, the mark of what was cut off included; at least 80.
    """
    whole = text if type(text) is str else str(text)
    if len(whole) > limit:
        whole = whole[: limit - 80] + f" … ({len(whole) - limit + 80:,} more characters)"
    if whole.isascii():
        return whole.replace("\x00", _REPLACEMENT) if "\x00" in whole else whole
    return _without_halves(whole.replace("\x00", _REPLACEMENT))


def cleaned_ends(text: str, limit: int = DETAIL_LIMIT) -> str:
    """Return a text as ``cleaned`` does, but what is too long loses its middle: a traceback tells most at its ends."""
    if len(text) <= limit:
        return cleaned(text, limit)
    head = limit // 4
    tail = limit - head - 80
    left_out = len(text) - head - tail
    return cleaned(f"{text[:head]}\n… ({left_out:,} characters left out)\n{text[-tail:]}", limit)


def number_in(text: str, *, most: int) -> int | None:
    """Return the number from 0 to ``most`` that a text is, in ASCII's digits and nothing else; None if it is none.

    A text longer than ``most`` is none, however many zeros it begins with: Python refuses to read thousands of digits.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most))):
        return None
    number = int(text)
    return number if number <= most else None


def _without_halves(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
