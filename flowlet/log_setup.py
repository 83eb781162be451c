"""The log: one stream to stderr, for people or as one JSON object per line.

Modules log through ``logging.getLogger(__name__)``; lines of other libraries have the same format. Inside ``bound``,
every line has the fields that it is given, such as the instance and its state.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Literal, TextIO

import structlog
from structlog.contextvars import bound_contextvars as bound
from structlog.typing import Processor

__all__ = ["bound", "configure_logging"]

_NOISY_LOGGERS = ("aiosqlite", "asyncio", "databases", "httpcore", "httpx")
"""Libraries that log every call: their lowest level is WARNING, or the configured level if that is higher."""


def configure_logging(
    *, level: str = "INFO", log_format: Literal["console", "json"] = "console", output: TextIO | None = None
) -> None:
    """Send every log line of this process to one stream, in one format, replacing earlier configuration.

    Tracebacks never show local variables: these may be a workflow's variables, which may be secret.

    Args:
        level: The lowest level that is written: DEBUG, INFO, WARNING or ERROR.
        log_format: "json" for log collectors; "console" for people, in colour if the stream is a terminal and NO_COLOR
            is not set.
        output: The stream; stderr if None.
    """
    stream = output or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(_build_json_processors() if log_format == "json" else _build_console_processors(stream)),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _NOISY_LOGGERS:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _build_json_processors() -> list[Processor]:
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def _build_console_processors(stream: TextIO) -> list[Processor]:
    in_colour = stream.isatty() and not os.environ.get("NO_COLOR")
    return [structlog.dev.ConsoleRenderer(colors=in_colour, exception_formatter=structlog.dev.plain_traceback)]
