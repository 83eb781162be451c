"""The URL of a database: its one form, its parts, and what of it may be shown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from flowlet.errors import SettingsError
from flowlet.text import format_suggestion, parse_number

__all__ = [
    "ServerUrl",
    "get_sqlite_path",
    "mask_password",
    "normalize_database_url",
    "normalize_url",
    "parse_server_url",
]

_SCHEMES = {
    "sqlite": "sqlite",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
}
_URL_OPTIONS = {
    "postgresql": ("host", "ssl", "sslmode", "sslrootcert", "sslcert", "sslkey", "target_session_attrs"),
    "mysql": ("ssl", "ssl-ca", "ssl-cert", "ssl-key", "unix_socket"),
}
_HARMLESS_OPTIONS = frozenset(
    {*_URL_OPTIONS["postgresql"], *_URL_OPTIONS["mysql"], "user", "port", "dbname", "charset"}
)
"""The options whose values messages show. Any other one may be a password, by the name of some driver."""
_OPTION_VALUES = {
    "ssl": ("true", "false", "disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "read-write", "primary"),
}
_URL_FORMS = "sqlite:///file.db, postgresql://user:password@host/database or mysql://user:password@host/database"
_SQLITE_FORMS = "Write sqlite:///file.db for a file in the current folder, or sqlite:////folder/file.db for any other"
_ENCODING_HINT = "In a password or a name, write '@', ':', '/', '?' and '#' as %40, %3A, %2F, %3F and %23."
_PASSWORD = re.compile(r"(://[^:/@]*:).*@", re.DOTALL)
_OPTION = re.compile(r"([?&])([^=&?]*)(=?)([^&]*)", re.DOTALL)
_IPV6_HOSTS = re.compile(r"([a-z]+://)([^/?#]*\[[^/?#]*)", re.IGNORECASE)
_IPV6_ADDRESS = re.compile(r"\[[^\]]*\]")
_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::(.*))?")


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """The parts of a database server's URL, decoded.

    Attributes:
        user: The user's name; None where the URL has none.
        password: The password, likewise.
        hosts: Each host, which may be the path of a socket, with its port; None for the database's own port.
        database: The database's name.
        options: What follows the question mark.
    """

    user: str | None
    password: str | None
    hosts: tuple[tuple[str, int | None], ...]
    database: str
    options: dict[str, str]


def mask_password(url: str) -> str:
    """Return the URL with its password, and each option that is not known to be harmless, as three asterisks."""
    return _OPTION.sub(_mask_option, _PASSWORD.sub(r"\1***@", url))


def normalize_database_url(url: str, *, subject: str = "the database URL") -> str:
    """Return a database URL with the scheme normalized to sqlite, postgresql or mysql.

    Args:
        url: ``postgres`` is accepted for ``postgresql``, and ``mariadb`` for ``mysql``.
        subject: How the message names it, such as ``--database``.

    Raises:
        SettingsError: If the scheme is unknown, or the rest cannot be used. The message hides the password.
    """
    try:
        return normalize_url(url)
    except ValueError as error:
        raise SettingsError(f"{subject} is {mask_password(url)!r}: {error}") from None


def normalize_url(url: str) -> str:
    """Return a database URL as ``normalize_database_url`` does.

    Raises:
        ValueError: If it cannot be used; its text says why, without the URL.
    """
    url = url.strip()
    try:
        parts = _split_url(url)
    except ValueError:  # its text may hold the password
        raise ValueError(f"it cannot be parsed. Expected {_URL_FORMS}. {_ENCODING_HINT}") from None
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None:
        driver = parts.scheme.partition("+")[0]
        cure = (
            f" Write {driver}://, without the name of a driver." if "+" in parts.scheme and driver in _SCHEMES else ""
        )
        raise ValueError(f"expected {_URL_FORMS}.{cure}")
    if scheme == "sqlite":
        _check_sqlite(parts)
    else:
        _check_server(parts, scheme)
    return scheme + url[len(parts.scheme) :]


def get_sqlite_path(url: str) -> Path:
    """Return the database file of a valid SQLite URL."""
    return Path(unquote(urlsplit(url).path[1:]))


def parse_server_url(url: str) -> ServerUrl:
    """Return the parts of a server's URL.

    Raises:
        ValueError: If a port is not a number from 0 to 65535.
    """
    parts = _split_url(url)
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    names = hosts or options.get("host", "")
    return ServerUrl(
        unquote(user) or None,
        unquote(password) or None,
        tuple(_parse_host(name) for name in names.split(",") if name),
        unquote(parts.path[1:]),
        options,
    )


def _split_url(url: str) -> SplitResult:
    """Return a URL's parts as ``urlsplit`` does, which allows an IPv6 address only as the whole host.

    Raises:
        ValueError: As ``urlsplit``.
    """
    found = _IPV6_HOSTS.match(url)
    if found is None:
        return urlsplit(url)
    scheme, netloc = found.groups()
    for address in _IPV6_ADDRESS.findall(netloc):
        urlsplit(f"//{address}")
    return urlsplit(scheme + _IPV6_ADDRESS.sub("", netloc) + url[found.end() :])._replace(netloc=netloc)


def _parse_host(text: str) -> tuple[str, int | None]:
    if text.startswith(("/", "%2F", "%2f")):
        return unquote(text), None
    found = _HOST.fullmatch(text)
    port = parse_number(found[2] or "0", maximum=65_535) if found else None
    if found is None or port is None:
        raise ValueError(f"the port is not a number from 0 to 65535. {_ENCODING_HINT}")
    return unquote(found[1].strip("[]")), port if found[2] else None


def _mask_option(found: re.Match[str]) -> str:
    start, name, equals, value = found.groups()
    if not equals:
        return f"{start}***" if name else found[0]
    return found[0] if name.lower() in _HARMLESS_OPTIONS or not value else f"{start}{name}=***"


def _check_sqlite(parts: SplitResult) -> None:
    if parts.netloc:
        raise ValueError(f"it has two slashes, but a file needs three or four. {_SQLITE_FORMS}.")
    if parts.query or parts.fragment:
        raise ValueError("an SQLite URL has no options, and the file's name cannot contain '?' or '#'.")
    name = unquote(parts.path[1:])
    if ":memory:" in name:
        raise ValueError(f"executors and commands share the database, so it must be a file. {_SQLITE_FORMS}.")
    if not name or name.endswith("/"):
        raise ValueError(f"the file's name is missing. {_SQLITE_FORMS}.")
    path = Path(name)
    if path.is_dir():
        raise ValueError(f"{name!r} is a folder. Name a file in it.")
    if not path.parent.is_dir():
        raise ValueError(f"the folder {str(path.parent)!r} does not exist. Create it first.")


def _check_server(parts: SplitResult, scheme: str) -> None:
    server = parse_server_url(parts.geturl())
    if not server.hosts and "unix_socket" not in server.options:
        raise ValueError(f"the host is missing. Expected {_URL_FORMS}.")
    if "@" in parts.query or parts.fragment:  # rather the rest of a password than an option: it is not quoted
        raise ValueError(f"it has '?' or '#' in a place where they have a meaning. {_ENCODING_HINT}")
    for option, value in server.options.items():
        _check_option(option, value, _URL_OPTIONS[scheme])
    if not parts.path.strip("/"):
        raise ValueError(f"the database's name is missing after the host. Expected {_URL_FORMS}. {_ENCODING_HINT}")
    if any(mark in parts.path[1:] for mark in "/@:"):
        raise ValueError(f"only the database's name may follow the host. Expected {_URL_FORMS}. {_ENCODING_HINT}")


def _check_option(option: str, value: str, known: tuple[str, ...]) -> None:
    if option not in known:
        cure = f"{format_suggestion(option, known)} Known: {', '.join(known)}."
        raise ValueError(f"the option {option!r} is unknown.{cure} {_ENCODING_HINT}")
    allowed = _OPTION_VALUES.get(option, ())
    if "ssl-ca" in known and option == "ssl":
        allowed = allowed[:2]
    if allowed and value.lower() not in allowed:
        raise ValueError(f"the option {option!r} is {value!r}. Expected one of {', '.join(allowed)}.")
