"""The log: one stream, two formats, and nothing secret in it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import StringIO

import pytest

from flowlet.log_setup import bound, configure_logging

logger = logging.getLogger("flowlet.sample")


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_json_line_has_the_message_the_time_the_level_and_what_is_bound() -> None:
    stream = StringIO()
    configure_logging(log_format="json", output=stream)

    with bound(workflow_id=7, state="ship"):
        logger.info("ran %s times", 3, extra={"token": 9})

    line = json.loads(stream.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "ran 3 times",
        "level": "info",
        "logger": "flowlet.sample",
        "workflow_id": 7,
        "state": "ship",
        "token": 9,
    }


def test_what_was_bound_is_gone_after_the_block() -> None:
    stream = StringIO()
    configure_logging(log_format="json", output=stream)

    with bound(workflow_id=7):
        pass
    logger.info("after")

    assert "workflow_id" not in json.loads(stream.getvalue())


def test_a_console_line_is_plain_text_where_the_stream_is_no_terminal() -> None:
    stream = StringIO()
    configure_logging(output=stream)

    with bound(workflow_id=7):
        logger.warning("the lease ran out")

    line = stream.getvalue()
    assert "the lease ran out" in line
    assert "workflow_id=7" in line
    assert "\x1b" not in line


def test_lines_below_the_level_are_left_out() -> None:
    stream = StringIO()
    configure_logging(level="WARNING", output=stream)

    logger.info("not this one")

    assert stream.getvalue() == ""


def test_a_library_that_logs_every_call_is_heard_from_warning_on() -> None:
    stream = StringIO()
    configure_logging(level="DEBUG", output=stream)

    logging.getLogger("databases").debug("a query")
    logging.getLogger("httpx").warning("a warning")

    assert "a query" not in stream.getvalue()
    assert "a warning" in stream.getvalue()


def test_configuring_again_does_not_write_lines_twice() -> None:
    first, second = StringIO(), StringIO()
    configure_logging(output=first)
    configure_logging(output=second)

    logger.info("once")

    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_shows_lines_and_never_the_values_of_variables(form: str) -> None:
    stream = StringIO()
    configure_logging(log_format="json" if form == "json" else "console", output=stream)

    try:
        _raise_with_secret("s3" + "cret")
    except ValueError:
        logger.exception("an attempt failed")

    assert "ValueError: too long" in stream.getvalue()
    assert "s3cret" not in stream.getvalue()


def test_a_value_that_is_no_json_does_not_lose_the_line() -> None:
    stream = StringIO()
    configure_logging(log_format="json", output=stream)

    logger.info("sent", extra={"to": {1, 2}, "half": "\ud800"})

    assert json.loads(stream.getvalue())["event"] == "sent"


def _raise_with_secret(secret: str) -> None:
    raise ValueError("too long" if secret else "")
