"""The log: one stream, two formats, and nothing secret in it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import StringIO

import pytest
import structlog

from flowlet.log_setup import (
    OutageLog,
    bind_attempt,
    bind_lease,
    bound,
    configure_application_logging,
    configure_logging,
    log_with_traceback,
)

logger = logging.getLogger("flowlet.sample")


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("", "flowlet", "asyncio", "databases", "httpx")]
    levels, handlers = [each.level for each in loggers], list(loggers[0].handlers)
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    loggers[0].handlers[:] = handlers
    for each, level in zip(loggers, levels, strict=True):
        each.setLevel(level)


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


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_line_of_structlog_has_the_format_and_the_fields_of_all_others(form: str) -> None:
    stream = StringIO()
    configure_logging(log_format="json" if form == "json" else "console", output=stream)

    with bound(workflow_id=7):
        structlog.get_logger("shop").info("charged %s", "A-1", amount=3)
        structlog.get_logger("shop").debug("below the level")

    (line,) = stream.getvalue().splitlines()
    if form == "console":
        assert "charged A-1" in line
        assert "workflow_id=7" in line
        assert "amount=3" in line
    else:
        parsed = json.loads(line)
        assert parsed.pop("timestamp").endswith("Z")
        assert parsed == {
            "event": "charged A-1",
            "amount": 3,
            "level": "info",
            "logger": "shop",
            "workflow_id": 7,
        }


def test_the_applications_own_structlog_configuration_stays() -> None:
    lines: list[str] = []
    structlog.configure(
        processors=[structlog.processors.KeyValueRenderer()],
        logger_factory=structlog.ReturnLoggerFactory(),
    )

    configure_logging(output=StringIO())
    lines.append(structlog.get_logger().info("charged"))

    assert lines == ["event='charged'"]


def test_the_fields_of_an_activation_are_those_that_structlog_can_unbind() -> None:
    stream = StringIO()
    configure_logging(log_format="json", output=stream)

    bind_lease(workflow_id=7, external_id="order-7", type="Orders", token=3)
    bind_attempt("ship", 2)
    logger.info("shipping")
    structlog.contextvars.unbind_contextvars("token", "attempt")
    logger.info("shipped")

    shipping, shipped = (json.loads(line) for line in stream.getvalue().splitlines())
    fields = ("workflow_id", "external_id", "type", "token", "state", "attempt")
    assert [shipping[name] for name in fields] == [7, "order-7", "Orders", 3, "ship", 2]
    assert shipped.keys() == shipping.keys() - {"token", "attempt"}


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_that_is_kept_as_a_text_is_shown(form: str) -> None:
    stream, own = StringIO(), StringIO()
    configure_logging(log_format="json" if form == "json" else "console", output=stream)
    logging.getLogger().addHandler(logging.StreamHandler(own))

    log_with_traceback(logger, logging.WARNING, "Traceback of a thread", "attempt %d failed", 2)
    log_with_traceback(logger, logging.DEBUG, "Traceback", "below the level")

    line = stream.getvalue()
    assert "attempt 2 failed" in line
    assert (json.loads(line)["exception"] if form == "json" else line).endswith(("Traceback of a thread", "thread\n"))
    assert own.getvalue() == "attempt 2 failed\nTraceback of a thread\n"


def test_the_applications_own_root_handlers_stay_and_receive_the_lines() -> None:
    own, root = StringIO(), logging.getLogger()
    root.handlers[:] = [logging.StreamHandler(own)]
    root.setLevel("ERROR")

    configure_application_logging(level="INFO", log_format="json")
    logger.info("ran")
    logging.getLogger("shop").info("below the application's own level")

    assert own.getvalue() == "ran\n"
    assert (len(root.handlers), root.level) == (1, logging.ERROR)


def test_without_handlers_of_its_own_the_application_gets_those_of_flowlet(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger().handlers.clear()

    for _ in range(2):
        configure_application_logging(level=None, log_format="json")
    logger.info("ran")
    logger.debug("below the level")

    assert json.loads(capsys.readouterr().err)["event"] == "ran"


@pytest.mark.parametrize("form", ["console", "json"])
def test_secrets_are_masked_in_messages_and_tracebacks_and_the_fencing_token_is_none(form: str) -> None:
    stream = StringIO()
    configure_logging(log_format="json" if form == "json" else "console", output=stream)
    bind_lease(workflow_id=7, external_id="order-7", type="Orders", token=35)

    try:
        raise ConnectionError("postgresql://app:s3cret@db/shop is away")
    except ConnectionError:
        logger.exception("cannot reach %s", "mysql://app:s3cret@db/shop", extra={"url": "https://s3cret@git.example"})

    shown = stream.getvalue()
    assert "s3cret" not in shown
    assert shown.count("***@") == 4
    assert "35" in shown


class Activity:
    """Something that an outage interrupts."""


def test_an_outage_is_one_line_and_its_end_another_whoever_notices_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outage, claiming, committing, maintenance = OutageLog(), Activity(), Activity(), Activity()

    for is_rare, activity in ((True, maintenance), (False, claiming), (False, committing), (False, claiming)):
        outage.record_failure(activity, OSError("connection refused"), is_rare=is_rare)
    for activity in (committing, claiming, maintenance):
        outage.record_success(activity)

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "WARNING",
            "the store is away: what runs here waits, and continues when it is back: connection refused",
        ),
        ("INFO", "the store is back: everything continues after 4 failed attempts"),
    ]


def test_an_outage_that_only_a_rare_activity_notices_ends_with_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outage, maintenance = OutageLog(), Activity()

    outage.record_failure(maintenance, OSError("no right"), is_rare=True)
    outage.record_success(maintenance)
    outage.record_success(maintenance)

    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_an_activity_that_is_given_up_does_not_keep_an_outage_open(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outage, cancelled, claiming = OutageLog(), Activity(), Activity()
    outage.record_failure(cancelled, OSError("away"))
    outage.record_failure(claiming, OSError("away"))

    outage.record_given_up(cancelled)
    outage.record_success(claiming)

    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_an_outage_whose_last_activity_was_given_up_ends_with_the_next_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    outage, cancelled, claiming = OutageLog(), Activity(), Activity()
    outage.record_failure(cancelled, OSError("away"))
    outage.record_failure(claiming, OSError("away"))
    outage.record_success(claiming)
    outage.record_contact()
    assert [record.levelname for record in caplog.records] == ["WARNING"]

    outage.record_given_up(cancelled)
    outage.record_contact()
    outage.record_contact()

    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_an_outage_that_only_a_rare_activity_notices_is_not_ended_by_others(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outage, maintenance = OutageLog(), Activity()

    outage.record_failure(maintenance, OSError("no right"), is_rare=True)
    outage.record_contact()

    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_an_outage_that_has_ended_an_executor_ends_with_the_start_of_the_next(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outage = OutageLog()
    outage.record_failure(Activity(), OSError("away"))

    outage.record_restart()
    outage.record_restart()

    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def _raise_with_secret(secret: str) -> None:
    raise ValueError("too long" if secret else "")
