"""Settings: what is read from the environment, and what a value that cannot be used says."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path

import pytest

from flowlet.errors import SettingsError
from flowlet.settings import ExecutorSettings, Settings, get_sqlite_path, mask_password, normalize_database_url


@pytest.fixture(autouse=True)
def _clear_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("FLOWLET_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_without_any_variable_the_defaults_make_a_whole_configuration() -> None:
    settings = Settings()

    assert settings.database_url == "sqlite:///flowlet.db"
    assert settings.modules == ()
    assert settings.groups == ("default",)
    assert (settings.slots, settings.batch, settings.max_transitions_per_lease, settings.crash_limit) == (
        512,
        160,
        100,
        5,
    )
    assert settings.lease == settings.grace == timedelta(seconds=30)
    assert settings.poll_interval == timedelta(seconds=15)
    assert (settings.log_level, settings.log_format) == ("INFO", "console")
    assert settings.demo_ip_url == "https://ifconfig.io/ip"


def test_the_defaults_of_the_executor_are_those_of_its_own_class() -> None:
    assert Settings().get_executor_settings() == ExecutorSettings()


def test_the_executor_gets_what_was_set() -> None:
    settings = Settings(groups="mail,print", slots=3, lease="2 minutes", executor_name="east-1", session_idle="1h")

    executor = settings.get_executor_settings()

    assert executor.groups == ("mail", "print")
    assert (executor.slots, executor.lease, executor.name) == (3, timedelta(minutes=2), "east-1")
    assert executor.session_idle == timedelta(hours=1)


def test_without_a_name_an_executor_is_called_after_its_process() -> None:
    assert Settings().executor_name.endswith(f"-{os.getpid()}")


def test_every_setting_is_told_without_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWLET_DATABASE_URL", "postgresql://ada:swordfish@host/shop")
    monkeypatch.setenv("FLOWLET_DEMO_IP_URL", "https://ada:swordfish@host/ip")
    monkeypatch.setenv("FLOWLET_ADMIN_PASSWORD", "swordfish")
    monkeypatch.setenv("FLOWLET_GROUPS", "mail print")

    told = {setting.variable: setting for setting in Settings(port=0, lease="90s").describe_settings()}

    assert list(told) == [f"FLOWLET_{name.upper()}" for name in Settings.model_fields]
    assert "swordfish" not in repr(told)
    assert told["FLOWLET_DATABASE_URL"].value == "postgresql://ada:***@host/shop"
    assert told["FLOWLET_ADMIN_PASSWORD"].value == "***"
    assert [told[f"FLOWLET_{name}"].value for name in ("GROUPS", "LEASE", "PORT", "MODULES")] == [
        "mail, print",
        "1 minute 30 seconds",
        "0",
        "",
    ]
    are_default = {name for name, setting in told.items() if setting.is_default}
    given = {"DATABASE_URL", "DEMO_IP_URL", "ADMIN_PASSWORD", "GROUPS", "PORT", "LEASE"}
    assert set(told) - are_default == {f"FLOWLET_{name}" for name in given}
    assert all(setting.help for setting in told.values())


@pytest.mark.parametrize(
    "text", ["shop.orders,shop.returns", "shop.orders shop.returns", " shop.orders ,\n shop.returns,"]
)
def test_modules_are_separated_by_commas_or_spaces(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("FLOWLET_MODULES", text)

    assert Settings().modules == ("shop.orders", "shop.returns")


@pytest.mark.parametrize(
    ("text", "length"),
    [("90s", timedelta(seconds=90)), ("2 minutes", timedelta(minutes=2)), ("PT1M", timedelta(minutes=1))],
)
def test_lengths_of_time_are_read_as_people_write_them(
    monkeypatch: pytest.MonkeyPatch, text: str, length: timedelta
) -> None:
    monkeypatch.setenv("FLOWLET_LEASE", text)

    assert Settings().lease == length


def test_what_is_passed_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWLET_SLOTS", "3")

    assert Settings(slots=4).slots == 4


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWLET_SLOTS", "")
    monkeypatch.setenv("FLOWLET_DATABASE_URL", "")

    assert (Settings().slots, Settings().database_url) == (512, "sqlite:///flowlet.db")


def test_the_case_of_the_log_settings_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWLET_LOG_LEVEL", "warning")
    monkeypatch.setenv("FLOWLET_LOG_FORMAT", "JSON")

    assert (Settings().log_level, Settings().log_format) == ("WARNING", "json")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("FLOWLET_SLOTS", "0", "greater than or equal to 1"),
        ("FLOWLET_SLOTS", "10001", "less than or equal to 10000"),
        ("FLOWLET_SLOTS", "many", "valid integer"),
        ("FLOWLET_LEASE", "30", "not a duration"),
        ("FLOWLET_LEASE", "2 fortnights", "not a duration"),
        ("FLOWLET_LEASE", "10ms", "from 1s to 1h"),
        ("FLOWLET_POLL_INTERVAL", "0s", "from 10ms to 1h"),
        ("FLOWLET_GRACE", "2 days", "from 0s to 1h"),
        ("FLOWLET_GROUPS", ",", "at least 1 item"),
        ("FLOWLET_LOG_LEVEL", "LOUD", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("FLOWLET_LOG_FORMAT", "xml", "'console' or 'json'"),
        ("FLOWLET_EXECUTOR_NAME", "x" * 121, "at most 120 characters"),
        ("FLOWLET_DEMO_IP_URL", "ifconfig.io", "https://example.org/path"),
        ("FLOWLET_DATABASE_URL", "oracle://h/db", "sqlite:///file.db"),
    ],
)
def test_an_unusable_value_is_named_with_its_variable_and_what_is_expected(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as caught:
        Settings()

    assert str(caught.value).startswith(f"{name} is ")
    assert expected in str(caught.value)
    assert value.strip(",") in str(caught.value)


def test_every_unusable_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWLET_SLOTS", "0")
    monkeypatch.setenv("FLOWLET_LEASE", "soon")

    with pytest.raises(SettingsError) as caught:
        Settings()

    assert [line.split()[0] for line in str(caught.value).splitlines()] == ["FLOWLET_SLOTS", "FLOWLET_LEASE"]


def test_a_value_that_was_passed_is_named_as_it_was_passed() -> None:
    with pytest.raises(SettingsError, match=r"^slots is '0': "):
        Settings(slots=0)


def test_no_message_and_no_representation_shows_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(database_url="postgresql://ada:s3cret@host/shop")
    monkeypatch.setenv("FLOWLET_DATABASE_URL", "postgresql://ada:s3cret@host")

    with pytest.raises(SettingsError) as caught:
        Settings()

    assert "s3cret" not in str(caught.value) + repr(caught.value.__cause__) + repr(settings)
    assert "ada:***@host" in str(caught.value)


@pytest.mark.parametrize("password", ["s3cret", "s3cret\nsecond line", "s3cret" * 200])
def test_an_unusable_password_of_the_admin_is_not_shown(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    monkeypatch.setenv("FLOWLET_ADMIN_PASSWORD", password)

    with pytest.raises(SettingsError, match=r"^FLOWLET_ADMIN_PASSWORD is '\*\*\*': a password ") as caught:
        Settings()

    assert "s3cret" not in str(caught.value) + repr(caught.value.__cause__)


def test_the_password_of_the_admin_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWLET_ADMIN_PASSWORD", "correct horse")

    settings = Settings()

    assert settings.admin_password is not None
    assert settings.admin_password.get_secret_value() == "correct horse"
    assert "horse" not in repr(settings) + str(settings.model_dump()) + settings.model_dump_json()


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql://ada:s3cret@host:5432/shop", "postgresql://ada:***@host:5432/shop"),
        ("mysql://ada:s3/c@r:et@host/shop", "mysql://ada:***@host/shop"),
        ("postgresql://:s3cret@host/shop", "postgresql://:***@host/shop"),
        ("postgresql://host/shop?user=ada&password=s3cret", "postgresql://host/shop?user=ada&password=***"),
        ("postgresql://ada@host:5432/shop", "postgresql://ada@host:5432/shop"),
        ("sqlite:///shop.db", "sqlite:///shop.db"),
        ("no url", "no url"),
    ],
)
def test_a_mask_hides_the_password_and_nothing_else(url: str, masked: str) -> None:
    assert mask_password(url) == masked


@pytest.mark.parametrize(
    ("url", "usable"),
    [
        ("postgres://host/shop", "postgresql://host/shop"),
        ("mariadb://ada:pw@host:3306/shop", "mysql://ada:pw@host:3306/shop"),
        ("postgresql:///shop?host=/run/postgresql", "postgresql:///shop?host=/run/postgresql"),
        ("postgresql://host/shop?sslmode=require", "postgresql://host/shop?sslmode=require"),
        (" sqlite:///shop.db ", "sqlite:///shop.db"),
    ],
)
def test_a_url_is_brought_to_its_one_form(url: str, usable: str) -> None:
    assert normalize_database_url(url) == usable


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///shop.db", "shop.db"),
        ("sqlite:////tmp/shop.db", "/tmp/shop.db"),
        ("sqlite:///my%20shop.db", "my shop.db"),
    ],
)
def test_three_slashes_begin_a_relative_file_and_four_an_absolute_one(url: str, path: str) -> None:
    assert get_sqlite_path(normalize_database_url(url)) == Path(path)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "expected sqlite:///file.db"),
        ("shop.db", "expected sqlite:///file.db"),
        ("postgresql+asyncpg://host/shop", "Write postgresql://, without the name of a driver"),
        ("sqlite://shop.db", "two slashes, but a file needs three or four"),
        ("sqlite:///shop.db?timeout=30", "an SQLite URL has no options"),
        ("sqlite:///:memory:", "must be a file"),
        ("sqlite:///", "the file's name is missing"),
        ("sqlite:///missing/shop.db", "the folder 'missing' does not exist"),
        ("sqlite:////tmp", "'/tmp' is a folder"),
        ("postgresql://host", "the database's name is missing"),
        ("postgresql:///shop", "the host is missing"),
        (
            "postgresql://host/shop?sslmod=require",
            "'sslmod' is unknown. Did you mean 'sslmode'? Known: host, ssl, sslmode",
        ),
        ("mysql://host/shop?charset=", "'charset' is unknown. Known: ssl, unix_socket"),
        ("mysql://ada:pass#word@host/shop", "%23"),
        ("mysql://ada:pw@host:x/shop", "the port is not a number"),
        ("mysql://ada:12/34@host/shop", "only the database's name may follow the host"),
        ("mysql://ada:pw\u2100@host/shop", "cannot be parsed"),
    ],
)
def test_a_url_that_cannot_be_used_says_what_to_write_instead(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)) as caught:
        normalize_database_url(url, subject="--database")

    assert str(caught.value).startswith(f"--database is {mask_password(url)!r}: ")
