"""Texts, names and numbers that every database can store: their bounds and checks, and sentences that help."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

__all__ = [
    "MAX_DETAIL_LENGTH",
    "MAX_IDENTIFIER_LENGTH",
    "MAX_INTEGER",
    "MAX_NAME_LENGTH",
    "MAX_REASON_LENGTH",
    "MAX_TEXT_LENGTH",
    "check_schema_name",
    "clean_text",
    "clean_traceback",
    "describe_missing_extra",
    "escape_control_characters",
    "find_nearest_name",
    "find_text_fault",
    "format_suggestion",
    "has_control_characters",
    "is_one_line",
    "mask_secrets",
    "normalize_host_pattern",
    "parse_number",
    "validate_http_url",
]

MAX_INTEGER = 2**63 - 1
"""The largest integer that every database can store: the largest id, version and time."""
MAX_NAME_LENGTH = 120
"""Characters of a name that a person chooses: of a workflow, a state, a user, an API key or an executor."""
MAX_IDENTIFIER_LENGTH = 255
"""Characters of an external id, a business key, an executor group, and of the name that the history records."""
MAX_TEXT_LENGTH = 8_000
"""Characters of an action's text."""
MAX_REASON_LENGTH = 2_000
"""Characters of an instance's reason."""
MAX_DETAIL_LENGTH = 16_000
"""Characters of an action's detail: a traceback."""

_SIGN = "(?:password|passwd|pwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|authorization)"
_VALUE = r"""(?:"[^"\n]{0,1000}"|'[^'\n]{0,1000}'|[^\s&,;'")\]}]{1,1000})"""
# Every repetition has a bound, so that the time grows with the text's length only. What is kept is in the first group.
_SECRETS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"""(://[^\s:/@?#'"]{0,200}:)(?!\d{1,5}[/?#])[^\s'"<>]{1,1000}(?=@)""",  # not a port before a path with an "@"
        r"""(https?://)[^\s:/@?#'"]{1,1000}(?=@)""",
        rf"({_SIGN}=)(?!=){_VALUE}",
        rf"""({_SIGN}\\?['"]\s{{0,3}}:\s{{0,3}}\\?['"])[^'"\\\n]{{1,1000}}""",
        r"""(authorization:\s{0,3}(?:\w{1,20}\s{1,3})?)[^\s'",]{1,1000}""",
        r"(\bbearer\s{1,3})(?=\S{0,200}\d)[\w.~+/=-]{16,4000}",
    )
)
_MAX_SCHEMA_BYTES = 63
_NOT_IN_SCHEMA_NAMES = frozenset("\"':%\\")
_HOST_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_PACKAGE_EXTRAS = {"asyncpg": "postgres", "aiomysql": "mysql", "pymysql": "mysql"}
"""The extras of packages that the extra "server" does not install."""


def clean_text(text: object, limit: int = MAX_TEXT_LENGTH) -> str:
    """Return a text in a form that can be stored; one that is too long is cut at its end, with a note of how much.

    NUL, which PostgreSQL refuses, and halves of surrogate pairs, which are not characters, become U+FFFD.

    Args:
        text: Any value; one that is not a text is converted by ``str``.
        limit: The maximum length of the result, including the note about what was cut off; at least 80.
    """
    whole = text if type(text) is str else str(text)
    if len(whole) > limit:
        whole = whole[: limit - 80] + f" … ({len(whole) - limit + 80:,} more characters)"
    if whole.isascii():
        return whole.replace("\x00", _REPLACEMENT) if "\x00" in whole else whole
    return _replace_surrogates(whole.replace("\x00", _REPLACEMENT))


def clean_traceback(text: str, limit: int = MAX_DETAIL_LENGTH) -> str:
    """Return a text as ``clean_text`` does, but cut in the middle: the ends of a traceback matter most."""
    if len(text) <= limit:
        return clean_text(text, limit)
    head = limit // 4
    tail = limit - head - 80
    left_out = len(text) - head - tail
    return clean_text(f"{text[:head]}\n… ({left_out:,} characters left out)\n{text[-tail:]}", limit)


def mask_secrets(text: str) -> str:
    """Return a text with what looks like a secret in it as three asterisks.

    These are passwords in URLs, values after names such as ``password=`` or ``"token":``, and the values of
    authorization headers. For what other programs write into their errors; a secret without such a sign is not seen.
    """
    if "=" not in text and ":" not in text and "earer" not in text:
        return text
    for pattern in _SECRETS:
        text = pattern.sub(r"\1***", text)
    return text


def find_text_fault(text: str) -> str | None:
    """Return why a text cannot be stored, as the predicate of a sentence; None if every database can store it."""
    if "\x00" in text:
        return "contains a NUL character, which databases cannot store"
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        return "contains half of a surrogate pair, which is not a character"
    return None


def has_control_characters(text: str) -> bool:
    """Return whether a text contains a control character, such as NUL or a tab, or half of a surrogate pair."""
    return _has_letter_of(text, ("Cc", "Cs"))


def is_one_line(text: str) -> bool:
    """Return whether a text has neither a line end nor another control character, so that a URL can contain it."""
    return not _has_letter_of(text, ("Cc", "Cs", "Zl", "Zp"))


def _has_letter_of(text: str, categories: tuple[str, ...]) -> bool:
    if text.isascii() and text.isprintable():
        return False
    return any(unicodedata.category(letter) in categories for letter in text)


def escape_control_characters(value: object) -> str:
    r"""Return a text on one line that cannot harm a terminal: what is not printable is escaped, as ``\x1b``."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def find_nearest_name(name: str, options: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the option most similar to a name, ignoring case; None if no option is similar.

    Args:
        name: The name that is not an option.
        options: The known names.
        cutoff: The least similarity that counts, from 0 to 1, as for ``difflib.get_close_matches``.
    """
    by_lower = {option.lower(): option for option in sorted(options, reverse=True)}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[near[0]] if near else None


def format_suggestion(name: str, options: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return " Did you mean 'shipped'?", to be appended to a sentence; empty if no option is similar to the name."""
    near = find_nearest_name(name, options, cutoff=cutoff)
    return f" Did you mean {near!r}?" if near else ""


def parse_number(text: str, *, maximum: int = MAX_INTEGER) -> int | None:
    """Return the number from 0 to ``maximum`` that a text consists of, written in ASCII digits only; None otherwise.

    A text with more digits than ``maximum`` is not parsed, even if it begins with zeros: Python refuses to parse
    thousands of digits.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(maximum))):
        return None
    number = int(text)
    return number if number <= maximum else None


def check_schema_name(name: str) -> str:
    r"""Return the name of a schema of PostgreSQL, which is case-sensitive, and is quoted wherever it is used.

    Raises:
        ValueError: If it is longer than 63 bytes in UTF-8, has spaces at its ends, control characters, or one of
            ``" ' : % \``, or is the name of a schema of the server's own.
    """
    if name.startswith("pg_") or name == "information_schema":
        raise ValueError("the schemas pg_... and information_schema are PostgreSQL's own")
    if (
        find_text_fault(name)
        or has_control_characters(name)
        or _NOT_IN_SCHEMA_NAMES & set(name)
        or name != name.strip()
    ):
        raise ValueError("expected the name of a schema, without quotation marks, ':', '%', backslashes or line breaks")
    if not 0 < len(name.encode()) <= _MAX_SCHEMA_BYTES:
        raise ValueError(f"expected the name of a schema, of 1 to {_MAX_SCHEMA_BYTES} bytes in UTF-8")
    return name


def validate_http_url(url: str) -> str:
    """Return an address of HTTP or HTTPS as it is, or raise ``ValueError``."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected a URL such as https://example.org/path")
    return url


def normalize_host_pattern(text: str) -> str:
    """Return the name of a host, or a pattern of names such as ``*.example.org``, as browsers send it.

    Raises:
        ValueError: If it has a scheme, a port or a path, or is no name.
    """
    name = text.strip("[]") if text.count(":") != 1 else text
    prefix = "*." if name.startswith("*.") else ""
    try:
        if name == "*" or (":" in name and ip_address(name)):
            return name.lower()
        encoded = name.removeprefix(prefix).removesuffix(".").encode("idna").decode("ascii").lower()
    except ValueError:  # as also a UnicodeError is
        encoded = ""
    if not _HOST_NAME.fullmatch(encoded):
        raise ValueError("expected host names without scheme and port, such as example.org or *.example.org")
    return prefix + encoded


def _replace_surrogates(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def describe_missing_extra(error: ModuleNotFoundError, what: str) -> str | None:
    """Return the sentence that names the extra which installs a missing package; None if the module is our own.

    Args:
        error: The failed import of a module of Flowlet.
        what: What needs the package, as the beginning of the sentence.
    """
    package = (error.name or "flowlet").partition(".")[0]
    if package == "flowlet":
        return None
    extra = _PACKAGE_EXTRAS.get(package, "server")
    return (
        f"{what} needs the package {package}, which is not installed. Install the extra {extra!r}: "
        f"pip install 'flowlet-workflows[{extra}]'."
    )
