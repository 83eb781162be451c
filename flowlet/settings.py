"""The settings: environment variables that start with ``FLOWLET_``, validated once, at startup."""

from __future__ import annotations

import os
import re
import socket
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, SecretStr, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from flowlet.accounts.passwords import normalize_password
from flowlet.clock import format_duration, parse_duration
from flowlet.database_url import mask_password, normalize_url
from flowlet.errors import SettingsError, UserError
from flowlet.instance.keep_period import ALWAYS, OFF, normalize_keep_period, parse_keep_period
from flowlet.text import (
    MAX_NAME_LENGTH,
    check_schema_name,
    find_nearest_name,
    normalize_host_pattern,
    validate_http_url,
)

__all__ = ["ExecutorSettings", "Setting", "Settings", "find_unknown_variables"]

_PREFIX = "FLOWLET_"
_SERVICE_VARIABLE = re.compile(
    r"FLOWLET_(?:\w+_)?(?:SERVICE_(?:HOST|PORT(?:_\w+)?)|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)"
)
_SECRET_FIELDS = frozenset({"admin_password", "key"})


def _normalize_host(value: Any) -> Any:
    if isinstance(value, str) and ("/" in value or value.count(":") == 1):
        raise ValueError("expected a host name or an address without scheme and port, such as 127.0.0.1 or 0.0.0.0")
    return value.strip("[]") if isinstance(value, str) else value


def _split_names(value: Any) -> Any:
    return tuple(name for name in re.split(r"[,\s]+", value) if name) if isinstance(value, str) else value


def _change_case(value: Any, change: Callable[[str], str]) -> Any:
    return change(value.strip()) if isinstance(value, str) else value


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
Host = Annotated[Name, AfterValidator(normalize_host_pattern)]
SessionIdle = Annotated[timedelta, BeforeValidator(_make_duration_validator("5 minutes", "30 days"))]
SessionLifetime = Annotated[timedelta, BeforeValidator(_make_duration_validator("5 minutes", "365 days"))]
_UPPER, _LOWER = (BeforeValidator(partial(_change_case, change=change)) for change in (str.upper, str.lower))
Hosts = Annotated[tuple[Host, ...], NoDecode, BeforeValidator(_split_names)]


@dataclass(frozen=True, slots=True)
class ExecutorSettings:
    """The settings of an executor.

    Attributes:
        groups: The executor groups whose instances it runs.
        slots: How many activations it runs at once.
        memory: How many bytes running instances may take, about; None for half of what there is.
        lease: How long it keeps an instance without a heartbeat.
        grace: How long activations may run after the executor is stopped.
        crash_limit: How many consecutive executor crashes an instance survives before it becomes FAILED.
        poll_interval: How often it looks for due instances without being notified.
        batch: The maximum number of transitions in one transaction.
        name: A label for people.
        max_transitions_per_lease: How many transitions an instance makes in one lease before it is released.
        session_idle: How long a session of the console may be unused before it ends and may be deleted.
        start_timeout: How long it waits at its start for a database that is away.
        keep: How long ended instances of workflows are kept that say nothing else; ``ALWAYS`` for always.
        keep_external_ids: How long the external ids of deleted instances are kept; ``OFF`` for not at all.
        keep_audit: How long rows of the audit are kept; ``ALWAYS`` for always.
    """

    groups: tuple[str, ...] = ("default",)
    slots: int = 512
    memory: int | None = None
    lease: timedelta = timedelta(seconds=30)
    grace: timedelta = timedelta(seconds=30)
    crash_limit: int = 5
    poll_interval: timedelta = timedelta(seconds=15)
    batch: int = 160
    name: str = field(default_factory=_build_default_name)
    max_transitions_per_lease: int = 100
    session_idle: timedelta = timedelta(hours=12)
    start_timeout: timedelta = timedelta(minutes=1)
    keep: timedelta = ALWAYS
    keep_external_ids: timedelta = OFF
    keep_audit: timedelta = ALWAYS


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


with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # pydantic's models have a method of this name, which is deprecated

    class _SchemaSettings(BaseSettings):
        schema: Annotated[str, AfterValidator(check_schema_name)] | None = Field(  # type: ignore[assignment]  # as above
            None, description="The schema of PostgreSQL that has the tables; without it the role's search path says."
        )


class Settings(_SchemaSettings):
    """All settings. ``slots`` is read from ``FLOWLET_SLOTS``, and so on.

    Keyword arguments take precedence over the environment. Lists are separated by commas or spaces, durations are
    written like "30s" or "2 minutes", and an empty variable counts as not set. The docstring of a setting is also its
    help on the settings page of the console.

    Raises:
        SettingsError: If a value cannot be used, or a variable of the environment has nearly the name of a setting. The
            message names every one, and what is expected instead.
    """

    model_config = SettingsConfigDict(
        env_prefix="FLOWLET_", env_ignore_empty=True, extra="ignore", frozen=True, use_attribute_docstrings=True
    )

    database_url: Annotated[str, BeforeValidator(normalize_url)] = Field("sqlite:///flowlet.db", repr=False)
    """The database; --database takes precedence."""
    url: Annotated[str, BeforeValidator(validate_http_url)] | None = None
    """A server, on which commands operate instead of the database; --url and --database take precedence."""
    key: SecretStr | None = Field(None, max_length=1_000)
    """The API key for that server; --api-key takes precedence."""
    migrate: bool = True
    """Whether commands that start something create and upgrade the tables; false leaves it to flowlet db upgrade."""
    modules: Names = ()
    """The workflow modules of commands that name none."""
    groups: Annotated[Names, Field(min_length=1, max_length=40)] = ("default",)
    """The executor groups whose instances an executor runs."""
    slots: int = Field(512, ge=1, le=10_000)
    """How many activations an executor runs at once."""
    memory: ByteSize | None = Field(None, ge=16_000_000)
    """How much memory running instances may take, about, such as 512MB; by default half of what there is."""
    lease: Annotated[timedelta, BeforeValidator(_make_duration_validator("1s", "1h"))] = timedelta(seconds=30)
    """How long an executor keeps an instance without a heartbeat; it sends three heartbeats in that time."""
    grace: Annotated[timedelta, BeforeValidator(_make_duration_validator("0s", "1h"))] = timedelta(seconds=30)
    """How long activations may run after an executor is stopped."""
    stop_delay: Annotated[timedelta, BeforeValidator(_make_duration_validator("0s", "1h"))] = timedelta()
    """How long the API goes on after SIGTERM with 503 at /readyz, so that balancers send no more before it stops."""
    start_timeout: Annotated[timedelta, BeforeValidator(_make_duration_validator("0s", "1h"))] = timedelta(minutes=1)
    """How long a process that serves waits at its start for a database that is away."""
    crash_limit: int = Field(5, ge=3, le=1_000)
    """How many consecutive executor crashes an instance survives before it becomes FAILED."""
    poll_interval: Annotated[timedelta, BeforeValidator(_make_duration_validator("10ms", "1h"))] = timedelta(seconds=15)
    """How often an executor looks for due instances without being notified."""
    batch: int = Field(160, ge=1, le=1_000)
    """The maximum number of transitions committed, or instances claimed, in one transaction."""
    max_transitions_per_lease: int = Field(100, ge=1, le=10_000)
    """How many transitions an instance makes in one lease before it is released."""
    keep: Annotated[str, BeforeValidator(normalize_keep_period)] = "always"
    """How long ended workflows are kept that have no keep= of their own, such as 90 days; always deletes none."""
    keep_external_ids: Annotated[str, BeforeValidator(partial(normalize_keep_period, may_be_off=True))] = "off"
    """How long the external ids of deleted workflows stay taken: off, a duration such as 1 year, or always."""
    keep_audit: Annotated[str, BeforeValidator(normalize_keep_period)] = "always"
    """How long the audit is kept, such as 1 year; always deletes nothing of it."""
    executor_name: Name = Field(default_factory=_build_default_name)
    """The executor's name, from which its id is derived."""
    host: Annotated[Name, BeforeValidator(_normalize_host)] = "127.0.0.1"
    """The address of the console and the API; 0.0.0.0 means every address of the machine."""
    port: int = Field(8080, ge=0, le=65_535)
    """Their port; 0 for any free port."""
    max_body: int = Field(1_048_576, ge=1_024, le=1_073_741_824)
    """The maximum size of a request body, in bytes."""
    request_timeout: Annotated[timedelta, BeforeValidator(_make_duration_validator("1s", "1h"))] = timedelta(seconds=10)
    """How long a request may take before the answer is an error; waits, event streams and downloads may take longer."""
    admin_password: Annotated[SecretStr | None, BeforeValidator(_validate_password)] = None
    """The password of the user admin, who is created if there are no users."""
    session_idle: SessionIdle = timedelta(hours=12)
    """How long a session of the console may be unused before it ends."""
    session_lifetime: SessionLifetime = timedelta(days=7)
    """How long a session lasts at most."""
    proxies: int = Field(0, ge=0, le=10)
    """How many trusted proxies append to X-Forwarded-For: the login limits count the client's address."""
    hosts: Hosts = ()
    """The only hosts that requests may name beside this machine's loopback names; *.example.org is all below it."""
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], _UPPER] = "INFO"
    """The lowest log level that is written."""
    log_format: Annotated[Literal["console", "json"], _LOWER] = "console"
    """The log format: console for people, json for one JSON object per line."""
    demo_ip_url: Annotated[str, BeforeValidator(validate_http_url)] = "https://ifconfig.io/ip"
    """The service that the demo's GetIpWorkflow asks for the public address."""

    def __init__(self, **given: Any) -> None:
        if misspelt := _find_misspelt_variables():
            raise SettingsError("\n".join(misspelt))
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise SettingsError(_explain_error(error, given)) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources of values: keyword arguments, then the environment without what Kubernetes adds."""
        return init_settings, _EnvironmentSource(settings_cls)

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
            memory=self.memory,
            lease=self.lease,
            grace=self.grace,
            crash_limit=self.crash_limit,
            poll_interval=self.poll_interval,
            batch=self.batch,
            name=self.executor_name,
            max_transitions_per_lease=self.max_transitions_per_lease,
            session_idle=self.session_idle,
            start_timeout=self.start_timeout,
            keep=parse_keep_period(self.keep),
            keep_external_ids=parse_keep_period(self.keep_external_ids, may_be_off=True),
            keep_audit=parse_keep_period(self.keep_audit),
        )


class _EnvironmentSource(EnvSettingsSource):
    """The environment without the variables of services: a service called flowlet gives FLOWLET_PORT a URL."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {
            name: value for name, value in super()._load_env_vars().items() if not _is_of_service(name.upper(), value)
        }


def find_unknown_variables() -> list[str]:
    """Return the variables that begin with FLOWLET_ and are no setting, and GopherFlow's (GFLOW_...), sorted.

    Those of Kubernetes' services and of Flowlet's own tests (FLOWLET_TEST_...) are left out.
    """
    known = {f"{_PREFIX}{name.upper()}" for name in Settings.model_fields}
    given = {name: name.upper() for name, value in os.environ.items() if not _is_of_service(name.upper(), value)}
    unknown = [name for name, upper in given.items() if upper.startswith((_PREFIX, "GFLOW_")) and upper not in known]
    return sorted(name for name in unknown if not given[name].startswith(f"{_PREFIX}TEST_"))


def _find_misspelt_variables() -> list[str]:
    names = [name.upper() for name in Settings.model_fields]
    found = []
    for variable in (name for name in find_unknown_variables() if name.upper().startswith(_PREFIX)):
        near = find_nearest_name(variable.upper().removeprefix(_PREFIX), names, cutoff=0.75)
        if near:
            found.append(f"{variable} is no setting. Did you mean {_PREFIX}{near}? Rename it, or remove it.")
    return found


def _is_of_service(name: str, value: str | None) -> bool:
    """Return whether Kubernetes adds such a variable to each container, for a service called flowlet or flowlet-web."""
    if _SERVICE_VARIABLE.fullmatch(name):
        return True
    return name.endswith("_PORT") and (value or "").startswith(("tcp://", "udp://", "sctp://"))


def _format_value(value: object) -> str:
    """Return a value as written in the environment; three asterisks for a secret."""
    match value:
        case None | ():
            return ""
        case bool():
            return str(value).lower()
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
        is_size = fault["type"] == "byte_size"
        expected = "expected a size such as 512MB" if is_size else fault["msg"].removeprefix("Value error, ")
        value = "***" if name in _SECRET_FIELDS else mask_password(str(fault["input"]))
        lines.append(f"{shown} is {value!r}: {expected}")
    return "\n".join(line if line.endswith(".") else f"{line}." for line in lines)
