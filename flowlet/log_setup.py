"""The log: one stream to stderr, for people or as one JSON object per line.

Modules log through ``logging.getLogger(__name__)``; lines of other libraries, and those of ``structlog``, have the same
format. Inside ``bound``, every line has the fields that it is given. Each line of an activation has those of
``bind_lease`` and ``bind_attempt``, also the lines of the handler itself.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from contextvars import Context, ContextVar
from io import StringIO
from typing import Any, Literal, TextIO

import structlog
from structlog.contextvars import bind_contextvars
from structlog.contextvars import bound_contextvars as bound
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from flowlet.text import mask_secrets

__all__ = [
    "PROCESS_OUTAGE",
    "OutageLog",
    "bind_attempt",
    "bind_lease",
    "bound",
    "configure_application_logging",
    "configure_logging",
    "log_with_traceback",
]

LogFormat = Literal["console", "json"]
_NOISY_LOGGERS = ("aiosqlite", "asyncio", "databases", "httpcore", "httpx")
"""Libraries that log every call: their lowest level is WARNING, or the configured level if that is higher."""
_FORMAT_EXCEPTION: tuple[Processor, ...] = (structlog.processors.format_exc_info,)
_TIMESTAMPER = structlog.processors.TimeStamper(fmt="iso", utc=True)
logger = logging.getLogger(__name__)


class _OwnHandler(logging.StreamHandler[TextIO]):
    """The handler that ``configure_logging`` adds: any other one of the root logger is the application's."""


def configure_logging(*, level: str = "INFO", log_format: LogFormat = "console", output: TextIO | None = None) -> None:
    """Send every log line of this process to one stream, in one format, replacing earlier configuration.

    Lines of ``structlog`` are sent there too, unless the application has configured it. Tracebacks never show local
    variables: these may be a workflow's variables, which may be secret.

    Args:
        level: The lowest level that is written: DEBUG, INFO, WARNING or ERROR.
        log_format: "json" for log collectors; "console" for people, in colour if the stream is a terminal and NO_COLOR
            is not set.
        output: The stream; stderr if None.
    """
    stream = output or sys.stderr
    handler = _OwnHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                _TIMESTAMPER,
                _add_kept_traceback,
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(_FORMAT_EXCEPTION if log_format == "json" else ()),
                _mask_event,
                *(_build_json_processors() if log_format == "json" else _build_console_processors(stream)),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _NOISY_LOGGERS:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    if not structlog.is_configured():
        _configure_structlog()


def configure_application_logging(*, level: str | None, log_format: LogFormat) -> None:
    """Configure logging as ``configure_logging`` does, unless the root logger has handlers of the application's own.

    These stay as they are, with the root's level, and receive the lines of Flowlet.

    Args:
        level: The lowest level that is written; None means INFO, or what the application's configuration says.
        log_format: As for ``configure_logging``.
    """
    if all(isinstance(handler, _OwnHandler) for handler in logging.getLogger().handlers):
        configure_logging(level=level or "INFO", log_format=log_format)
    elif level is not None:
        logging.getLogger(__package__).setLevel(level)


def log_with_traceback(target: logging.Logger, level: int, traceback: str | None, message: str, *args: object) -> None:
    """Log a message with a traceback that is kept as a text, such as that of an attempt that another thread ran.

    Args:
        target: The logger.
        level: The level of ``logging``.
        traceback: The text, or None.
        message: The message, with ``%s`` for each of the ``args``.
        args: What the message shows.
    """
    if not target.isEnabledFor(level):
        return
    record = target.makeRecord(target.name, level, "", 0, message, args, None)
    record.exc_text = traceback  # every formatter appends it, as if it had formatted it
    target.handle(record)


def bind_lease(*, workflow_id: int, external_id: str, type: str, token: int) -> None:
    """Bind what identifies an instance and its lease to each further log line of the current task."""
    _WORKFLOW_ID.set(workflow_id)
    _EXTERNAL_ID.set(external_id)
    _TYPE.set(type)
    _TOKEN.set(token)


def bind_attempt(state: str, attempt: int) -> None:
    """Bind the state and the number of the attempt to each further log line of the current task."""
    _set_state(state)
    if _ATTEMPT.get(0) != attempt:  # mostly it is the first one again, and to set takes five times as long as to look
        _set_attempt(attempt)


class OutageLog:
    """One line for the beginning of an outage and one for its end, however many activities it interrupts.

    Activities are objects that can be hashed; the end of the outage waits for each that was interrupted, until it
    succeeds or is given up. May be used by several threads.
    """

    def __init__(self) -> None:
        self._interrupted: set[object] = set()
        self._rare: set[object] = set()
        self._lock = threading.Lock()
        self._failure_count = 0
        self._is_away = False

    def record_failure(self, activity: object, error: BaseException, *, is_rare: bool = False) -> None:
        """Note that an activity has failed because the store is away, and log it if no other one has.

        A rare activity is one that notices the end of the outage long after the others: they do not wait for it.
        """
        with self._lock:
            is_first = not (self._interrupted or self._rare)
            (self._rare if is_rare else self._interrupted).add(activity)
            self._failure_count = 1 if is_first else self._failure_count + 1
            self._is_away = True
        if is_first:
            logger.warning("the store is away: what runs here waits, and continues when it is back: %s", error)

    def record_success(self, activity: object) -> None:
        """Note that an activity succeeds again, and log it if it was the last one that was interrupted."""
        with self._lock:
            if activity not in self._interrupted and activity not in self._rare:
                return
            self._interrupted.discard(activity)
            self._rare.discard(activity)
            if self._interrupted:
                return
            self._end_outage()

    def record_given_up(self, activity: object) -> None:
        """Note that an activity does not go on, as a commit whose lease was lost: no outage waits for it any more."""
        with self._lock:
            self._interrupted.discard(activity)
            self._rare.discard(activity)

    def record_contact(self) -> None:
        """Note that the store has just answered: an outage ends here if all that it has interrupted was given up."""
        if self._is_away:
            with self._lock:
                if self._is_away and not (self._interrupted or self._rare):
                    self._end_outage()

    def record_restart(self) -> None:
        """Note that an executor has begun anew, and log the end of an outage that has ended the last one.

        What the outage has interrupted was given up then, and never succeeds.
        """
        with self._lock:
            if self._is_away:
                self._interrupted.clear()
                self._end_outage()

    def _end_outage(self) -> None:
        self._rare.clear()
        self._is_away = False
        logger.info("the store is back: everything continues after %d failed attempts", self._failure_count)


PROCESS_OUTAGE = OutageLog()
"""The outage log of this process: the log is the process's, and so is what it says about the database."""


def _find_context_variable(name: str) -> ContextVar[Any]:
    """Return the variable that ``structlog`` keeps a bound field in: setting it takes a tenth of a call that binds."""
    variable: ContextVar[Any] = Context().run(lambda: bind_contextvars(**{name: None})[name].var)
    return variable


_WORKFLOW_ID, _EXTERNAL_ID, _TYPE, _TOKEN, _STATE, _ATTEMPT = (
    _find_context_variable(name) for name in ("workflow_id", "external_id", "type", "token", "state", "attempt")
)
_set_state, _set_attempt = _STATE.set, _ATTEMPT.set  # for every activation: bound once


def _configure_structlog() -> None:
    """Send the lines of ``structlog`` to ``logging``, in the format of ``configure_logging``."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.PositionalArgumentsFormatter(),
            _TIMESTAMPER,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _add_kept_traceback(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the traceback of ``log_with_traceback``; one of ``exc_info`` is formatted later."""
    kept = event["_record"].exc_text
    if kept and "exc_info" not in event:
        event["exception"] = kept
    return event


def _mask_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask the secrets in the message and the traceback of a line, and in the texts that are bound to it."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = mask_secrets(value)
    return event


def _write_masked_traceback(stream: TextIO, error: ExcInfo) -> None:
    text = StringIO()
    structlog.dev.plain_traceback(text, error)
    stream.write(mask_secrets(text.getvalue()))


def _build_json_processors() -> list[Processor]:
    return [structlog.processors.JSONRenderer()]


def _build_console_processors(stream: TextIO) -> list[Processor]:
    in_colour = stream.isatty() and not os.environ.get("NO_COLOR")
    return [structlog.dev.ConsoleRenderer(colors=in_colour, exception_formatter=_write_masked_traceback)]
