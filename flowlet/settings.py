"""The settings: environment variables that begin with ``FLOWLET_``, checked once, at the start."""

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
_SQLITE_FORMS = "Write sqlite:///file.db for a file in the current folder, sqlite:////folder/file.db for any other"
_ENCODING_HINT = "In a password or a name, '@', ':', '/', '?' and '#' are written as %40, %3A, %2F, %3F and %23."
_PASSWORD = re.compile(r"(://[^:/@]*:).*@", re.DOTALL)
_SECRET_FIELDS = frozenset({"admin_password"})
_PASSWORD_OPTION = re.compile(r"([?&]password=)[^&#]*", re.IGNORECASE)


def mask_password(url: str) -> str:
    """Return the URL with its password, wherever it stands, replaced by three asterisks."""
    return _PASSWORD_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1***@", url))


def normalize_database_url(url: str, *, subject: str = "the database URL") -> str:
    """Return a database URL in its one form: with the scheme sqlite, postgresql or mysql.

    Args:
        url: ``postgres`` is read as ``postgresql``, and ``mariadb`` as ``mysql``.
        subject: What the message calls it, as ``--database``.

    Raises:
        SettingsError: If the scheme is another, or the rest cannot be used. The message hides the password.
    """
    try:
        return _normalize_url(url)
    except ValueError as error:
        raise SettingsError(f"{subject} is {mask_password(url)!r}: {error}") from None


def get_sqlite_path(url: str) -> Path:
    """Return the database file of a usable SQLite URL."""
    return Path(unquote(urlsplit(url).path[1:]))


def _normalize_url(url: str) -> str:
    url = url.strip()
    try:
        parts = urlsplit(url)
    except ValueError:  # its text may hold the password
        raise ValueError(f"it cannot be taken apart. Expected {_URL_FORMS}. {_ENCODING_HINT}") from None
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None:
        driver = parts.scheme.partition("+")[0]
        cure = f" Write {driver}:// without a driver's name." if "+" in parts.scheme and driver in _SCHEMES else ""
        raise ValueError(f"expected {_URL_FORMS}.{cure}")
    if scheme == "sqlite":
        _check_sqlite(parts)
    else:
        _check_server(parts)
    return scheme + url[len(parts.scheme) :]


def _check_sqlite(parts: SplitResult) -> None:
    if parts.netloc:
        raise ValueError(f"it has two slashes where a file needs three or four. {_SQLITE_FORMS}.")
    if parts.query or parts.fragment:
        raise ValueError("SQLite takes no options in the URL, and '?' and '#' cannot be in the file's name.")
    name = unquote(parts.path[1:])
    if ":memory:" in name:
        raise ValueError(f"executors and commands share the database, so it has to be a file. {_SQLITE_FORMS}.")
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
            raise ValueError(f"the option {option!r} is not known. Known: {', '.join(known)}. {_ENCODING_HINT}")
    if not parts.path.strip("/"):
        raise ValueError(f"the database's name is missing after the host. Expected {_URL_FORMS}. {_ENCODING_HINT}")
    if any(mark in parts.path[1:] for mark in "/@:"):
        raise ValueError(f"more than the database's name follows the host. Expected {_URL_FORMS}. {_ENCODING_HINT}")


def _validate_http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected an address such as https://example.org/path")
    return url


def _normalize_host(value: Any) -> Any:
    if isinstance(value, str) and ("/" in value or value.count(":") == 1):
        raise ValueError("expected a host name or an address without scheme and port, as 127.0.0.1 or 0.0.0.0")
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
            raise ValueError(f"expected a length of time from {minimum} to {maximum}")
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


Name = Annotated[str, StringConstraints(min_length=1, max_length=120, strip_whitespace=True)]
Names = Annotated[tuple[Name, ...], NoDecode, BeforeValidator(_split_names)]


@dataclass(frozen=True, slots=True)
class ExecutorSettings:
    """What an executor has to know.

    Attributes:
        groups: The executor groups whose instances it runs.
        slots: How many activations it runs at once.
        lease: How long an instance stays its own without a heartbeat.
        grace: How long activations may go on when it is told to stop.
        crash_limit: After how many executors that died in a row under an instance it is FAILED.
        poll_interval: How often it looks for due instances although nothing woke it: the slow net.
        batch: How many transitions at most are committed in one transaction.
        name: What people call it.
        max_transitions_per_lease: How many transitions it makes in one lease before it hands an instance back.
        session_idle: After how long without use a session has ended, and may be deleted.
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
    """A setting as people may see it.

    Attributes:
        variable: What it is called in the environment.
        value: As it is written there; no secret, and no password of a URL.
        help: What it means.
        is_default: Whether neither the environment nor the command says anything about it.
    """

    variable: str
    value: str
    help: str
    is_default: bool


class Settings(BaseSettings):
    """Everything that can be set from outside; ``slots`` is read from ``FLOWLET_SLOTS``, and so on.

    What is passed by keyword goes before the environment. Lists are written with commas or spaces, lengths of time
    as in "30s" or "2 minutes"; an empty variable counts as not set. What
    stands below a setting is its help on the console's page of settings, too.

    Raises:
        SettingsError: If a value cannot be used. Every such value is named, with what is expected instead.
    """

    model_config = SettingsConfigDict(
        env_prefix="FLOWLET_", env_ignore_empty=True, extra="ignore", frozen=True, use_attribute_docstrings=True
    )

    database_url: Annotated[str, BeforeValidator(_normalize_url)] = Field("sqlite:///flowlet.db", repr=False)
    """The database; --database goes before it."""
    modules: Names = ()
    """Workflow modules, for commands that name none."""
    groups: Annotated[Names, Field(min_length=1, max_length=40)] = ("default",)
    """The executor groups whose instances an executor runs."""
    slots: int = Field(512, ge=1, le=10_000)
    """How many activations run at once."""
    lease: Annotated[timedelta, BeforeValidator(_make_duration_validator("1s", "1h"))] = timedelta(seconds=30)
    """How long an instance stays an executor's own without a heartbeat; it beats three times in that time."""
    grace: Annotated[timedelta, BeforeValidator(_make_duration_validator("0s", "1h"))] = timedelta(seconds=30)
    """How long activations may go on when an executor is told to stop."""
    crash_limit: int = Field(5, ge=1, le=1_000)
    """After how many executors that died in a row under an instance it is FAILED."""
    poll_interval: Annotated[timedelta, BeforeValidator(_make_duration_validator("10ms", "1h"))] = timedelta(seconds=15)
    """How often an executor looks for due instances although nothing woke it: the slow net."""
    batch: int = Field(160, ge=1, le=1_000)
    """How many transitions at most are committed in one transaction, and instances claimed in one."""
    max_transitions_per_lease: int = Field(100, ge=1, le=10_000)
    """How many transitions an instance makes in one lease before it is handed back."""
    executor_name: Name = Field(default_factory=_build_default_name)
    """What people call the executor; its id is made from it."""
    host: Annotated[Name, BeforeValidator(_normalize_host)] = "127.0.0.1"
    """Where console and API are served; 0.0.0.0 is every address of the machine."""
    port: int = Field(8080, ge=0, le=65_535)
    """On which port; 0 takes any that is free."""
    max_body: int = Field(1_048_576, ge=1_024, le=1_073_741_824)
    """How many bytes the body of a request may have."""
    admin_password: Annotated[SecretStr | None, BeforeValidator(_validate_password)] = None
    """The password of the user admin, who is made where there is no user at all."""
    session_idle: Annotated[timedelta, BeforeValidator(_make_duration_validator("5 minutes", "30 days"))] = timedelta(
        hours=12
    )
    """After how long without a request a session of the console ends."""
    session_lifetime: Annotated[timedelta, BeforeValidator(_make_duration_validator("5 minutes", "365 days"))] = (
        timedelta(days=7)
    )
    """After how long it ends in any case."""
    proxies: int = Field(0, ge=0, le=10)
    """How many proxies in front append to X-Forwarded-For each: whom the limits of logging in count."""
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_to_upper)] = "INFO"
    """The lowest level that is written."""
    log_format: Annotated[Literal["console", "json"], BeforeValidator(_to_lower)] = "console"
    """For people, or one JSON object a line."""
    demo_ip_url: Annotated[str, BeforeValidator(_validate_http_url)] = "https://ifconfig.io/ip"
    """Where GetIpWorkflow of the demo asks for the public address."""

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise SettingsError(_explain_error(error, given)) from None

    def describe_settings(self) -> list[Setting]:
        """Return every setting as people may see it, in the order of the reference."""
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
        """Return the part of it that an executor has to know."""
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
    """Return a value as it is written in the environment; a secret only as three asterisks."""
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
