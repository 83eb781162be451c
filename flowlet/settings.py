"""The settings: environment variables that start with ``FLOWLET_``, validated once, at startup."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from pydantic import BeforeValidator, Field, SecretStr, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from flowlet.accounts.passwords import normalize_password
from flowlet.durations import format_duration, parse_duration
from flowlet.errors import SettingsError, UserError
from flowlet.text import MAX_NAME_LENGTH, format_suggestion

__all__ = ["ExecutorSettings", "Setting", "Settings", "get_sqlite_path", "mask_password", "normalize_database_url"]

_SCHEMES = {
    "sqlite": "sqlite",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
}
_URL_OPTIONS = {"postgresql": ("host", "ssl", "sslmode"), "mysql": ("ssl", "unix_socket")}
_URL_FORMS = "sqlite:///file.db, postgresql://user:password@host/database or mysql://user:password@host/database"
_SQLITE_FORMS = "Write sqlite:///file.db for a file in the current folder, or sqlite:////folder/file.db for any other"
_ENCODING_HINT = "In a password or a name, write '@', ':', '/', '?' and '#' as %40, %3A, %2F, %3F and %23."
_PASSWORD = re.compile(r"(://[^:/@]*:).*@", re.DOTALL)
_SECRET_FIELDS = frozenset({"admin_password"})
_PASSWORD_OPTION = re.compile(r"([?&]password=)[^&#]*", re.IGNORECASE)


def mask_password(url: str) -> str:
    """Return the URL with its password, in any position, replaced by three asterisks."""
    return _PASSWORD_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1***@", url))


def normalize_database_url(url: str, *, subject: str = "the database URL") -> str:
    """Return a database URL with the scheme normalized to sqlite, postgresql or mysql.

    Args:
        url: ``postgres`` is accepted for ``postgresql``, and ``mariadb`` for ``mysql``.
        subject: How the message names it, such as ``--database``.

    Raises:
        SettingsError: If the scheme is unknown, or the rest cannot be used. The message hides the password.
    """
    try:
        return _normalize_url(url)
    except ValueError as error:
        raise SettingsError(f"{subject} is {mask_password(url)!r}: {error}") from None


def get_sqlite_path(url: str) -> Path:
    """Return the database file of a valid SQLite URL."""
    return Path(unquote(urlsplit(url).path[1:]))


def _normalize_url(url: str) -> str:
    url = url.strip()
    try:
        parts = urlsplit(url)
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
        _check_server(parts)
    return scheme + url[len(parts.scheme) :]


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


def _check_server(parts: SplitResult) -> None:
    try:
        _ = parts.port
    except ValueError:
        raise ValueError(f"the port is not a number from 0 to 65535. {_ENCODING_HINT}") from None
    socket_options = ("host=", "unix_socket=")
    if not parts.hostname and not any(option in parts.query for option in socket_options):
        raise ValueError(f"the host is missing. Expected {_URL_FORMS}.")
    known = _URL_OPTIONS[_SCHEMES[parts.scheme]]
    for option in parse_qs(parts.query, keep_blank_values=True):
        if option not in known:
            cure = f"{format_suggestion(option, known)} Known: {', '.join(known)}."
            raise ValueError(f"the option {option!r} is unknown.{cure} {_ENCODING_HINT}")
    if not parts.path.strip("/"):
        raise ValueError(f"the database's name is missing after the host. Expected {_URL_FORMS}. {_ENCODING_HINT}")
    if any(mark in parts.path[1:] for mark in "/@:"):
        raise ValueError(f"only the database's name may follow the host. Expected {_URL_FORMS}. {_ENCODING_HINT}")


def _validate_http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected a URL such as https://example.org/path")
    return url


def _normalize_host(value: Any) -> Any:
    if isinstance(value, str) and ("/" in value or value.count(":") == 1):
        raise ValueError("expected a host name or an address without scheme and port, such as 127.0.0.1 or 0.0.0.0")
    return value.strip("[]") if isinstance(value, str) else value


def _split_names(value: Any) -> Any:
    return tuple(name for name in re.split(r"[,\s]+", value) if name) if isinstance(value, str) else value


def _to_upper(value: Any) -> Any:
    return value.strip().upper() if isinstance(value, str) else value


def _to_lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _make_duration_validator(minimum: str, maximum: str) -> Callable[[Any], timedelta]:
    def validate_duration(value: Any) -> timedelta:
        length = parse_duration(value)
        if not parse_duration(minimum) <= length <= parse_duration(maximum):
            raise ValueError(f"expected a duration from {minimum} to {maximum}")
        return length

    return validate_duration


def _validate_password(value: Any) -> Any:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    try:
        return SecretStr(normalize_password(text)) if isinstance(text, str) else value
    except UserError as error:
        raise ValueError(str(error)) from None


def _build_default_name() -> str:
    return f"{socket.gethostname()[:80]}-{os.getpid()}"


Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_LENGTH, strip_whitespace=True)]
Names = Annotated[tuple[Name, ...], NoDecode, BeforeValidator(_split_names)]


@dataclass(frozen=True, slots=True)
class ExecutorSettings:
    """The settings of an executor.

    Attributes:
        groups: The executor groups whose instances it runs.
        slots: How many activations it runs at once.
        lease: How long it keeps an instance without a heartbeat.
        grace: How long activations may run after the executor is stopped.
        crash_limit: How many consecutive executor crashes an instance survives before it becomes FAILED.
        poll_interval: How often it looks for due instances without being notified.
        batch: The maximum number of transitions in one transaction.
        name: A label for people.
        max_transitions_per_lease: How many transitions an instance makes in one lease before it is released.
        session_idle: How long a session of the console may be unused before it ends and may be deleted.
    """

    groups: tuple[str, ...] = ("default",)
    slots: int = 512
    lease: timedelta = timedelta(seconds=30)
    grace: timedelta = timedelta(seconds=30)
    crash_limit: int = 5
    poll_interval: timedelta = timedelta(seconds=15)
    batch: int = 160
    name: str = field(default_factory=_build_default_name)
    max_transitions_per_lease: int = 100
    session_idle: timedelta = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting, as the console shows it.

    Attributes:
        variable: The environment variable.
        value: The value as written in the environment, without secrets and passwords of URLs.
        help: What it means.
        is_default: Whether neither the environment nor the command sets it.
    """

    variable: str
    value: str
    help: str
    is_default: bool


class Settings(BaseSettings):
    """All settings. ``slots`` is read from ``FLOWLET_SLOTS``, and so on.

    Keyword arguments take precedence over the environment. Lists are separated by commas or spaces, durations are
    written like "30s" or "2 minutes", and an empty variable counts as not set. The docstring of a setting is also its
    help on the settings page of the console.

    Raises:
        SettingsError: If a value cannot be used. The message names every such value and what is expected instead.
    """

    model_config = SettingsConfigDict(
        env_prefix="FLOWLET_", env_ignore_empty=True, extra="ignore", frozen=True, use_attribute_docstrings=True
    )

    database_url: Annotated[str, BeforeValidator(_normalize_url)] = Field("sqlite:///flowlet.db", repr=False)
    """The database; --database takes precedence."""
    modules: Names = ()
    """The workflow modules of commands that name none."""
    groups: Annotated[Names, Field(min_length=1, max_length=40)] = ("default",)
    """The executor groups whose instances an executor runs."""
    slots: int = Field(512, ge=1, le=10_000)
    """How many activations an executor runs at once."""
    lease: Annotated[timedelta, BeforeValidator(_make_duration_validator("1s", "1h"))] = timedelta(seconds=30)
    """How long an executor keeps an instance without a heartbeat; it sends three heartbeats in that time."""
    grace: Annotated[timedelta, BeforeValidator(_make_duration_validator("0s", "1h"))] = timedelta(seconds=30)
    """How long activations may run after an executor is stopped."""
    crash_limit: int = Field(5, ge=1, le=1_000)
    """How many consecutive executor crashes an instance survives before it becomes FAILED."""
    poll_interval: Annotated[timedelta, BeforeValidator(_make_duration_validator("10ms", "1h"))] = timedelta(seconds=15)
    """How often an executor looks for due instances without being notified."""
    batch: int = Field(160, ge=1, le=1_000)
    """The maximum number of transitions committed, or instances claimed, in one transaction."""
    max_transitions_per_lease: int = Field(100, ge=1, le=10_000)
    """How many transitions an instance makes in one lease before it is released."""
    executor_name: Name = Field(default_factory=_build_default_name)
    """The executor's name, from which its id is derived."""
    host: Annotated[Name, BeforeValidator(_normalize_host)] = "127.0.0.1"
    """The address of the console and the API; 0.0.0.0 means every address of the machine."""
    port: int = Field(8080, ge=0, le=65_535)
    """Their port; 0 for any free port."""
    max_body: int = Field(1_048_576, ge=1_024, le=1_073_741_824)
    """The maximum size of a request body, in bytes."""
    admin_password: Annotated[SecretStr | None, BeforeValidator(_validate_password)] = None
    """The password of the user admin, who is created if there are no users."""
    session_idle: Annotated[timedelta, BeforeValidator(_make_duration_validator("5 minutes", "30 days"))] = timedelta(
        hours=12
    )
    """How long a session of the console may be unused before it ends."""
    session_lifetime: Annotated[timedelta, BeforeValidator(_make_duration_validator("5 minutes", "365 days"))] = (
        timedelta(days=7)
    )
    """How long a session lasts at most."""
    proxies: int = Field(0, ge=0, le=10)
    """How many trusted proxies append to X-Forwarded-For: the login limits count the client's address."""
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_to_upper)] = "INFO"
    """The lowest log level that is written."""
    log_format: Annotated[Literal["console", "json"], BeforeValidator(_to_lower)] = "console"
    """The log format: console for people, json for one JSON object per line."""
    demo_ip_url: Annotated[str, BeforeValidator(_validate_http_url)] = "https://ifconfig.io/ip"
    """The service that the demo's GetIpWorkflow asks for the public address."""

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise SettingsError(_explain_error(error, given)) from None

    def describe_settings(self) -> list[Setting]:
        """Return every setting without secrets, in the order of the reference."""
        return [
            Setting(
                f"FLOWLET_{name.upper()}",
                _format_value(getattr(self, name)),
                field.description or "",
                is_default=name not in self.model_fields_set,
            )
            for name, field in type(self).model_fields.items()
        ]

    def get_executor_settings(self) -> ExecutorSettings:
        """Return the settings of an executor."""
        return ExecutorSettings(
            groups=self.groups,
            slots=self.slots,
            lease=self.lease,
            grace=self.grace,
            crash_limit=self.crash_limit,
            poll_interval=self.poll_interval,
            batch=self.batch,
            name=self.executor_name,
            max_transitions_per_lease=self.max_transitions_per_lease,
            session_idle=self.session_idle,
        )


def _format_value(value: object) -> str:
    """Return a value as written in the environment; three asterisks for a secret."""
    match value:
        case None | ():
            return ""
        case SecretStr():
            return "***"
        case timedelta():
            return format_duration(value)
        case tuple():
            return ", ".join(value)
    return mask_password(str(value))


def _explain_error(error: ValidationError, given: dict[str, Any]) -> str:
    lines = []
    for fault in error.errors(include_url=False, include_context=False):
        name = str(fault["loc"][0])
        shown = name if name in given else f"FLOWLET_{name.upper()}"
        expected = fault["msg"].removeprefix("Value error, ")
        value = "***" if name in _SECRET_FIELDS else mask_password(str(fault["input"]))
        lines.append(f"{shown} is {value!r}: {expected}")
    return "\n".join(line if line.endswith(".") else f"{line}." for line in lines)
