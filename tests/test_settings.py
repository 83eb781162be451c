"""Settings: what is read from the environment, and what a value that cannot be used says."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from flowlet.errors import SettingsError
from flowlet.settings import ExecutorSettings, Settings, find_unknown_variables


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
    settings = Settings(
        groups="mail,print", slots=3, memory="2GiB", lease="2 minutes", executor_name="east-1", session_idle="1h"
    )

    executor = settings.get_executor_settings()

    assert executor.groups == ("mail", "print")
    assert (executor.slots, executor.memory, executor.lease) == (3, 2**31, timedelta(minutes=2))
    assert executor.name == "east-1"
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
        ("FLOWLET_MEMORY", "many", "a size such as 512MB"),
        ("FLOWLET_MEMORY", "1kB", "greater than or equal to 16000000"),
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
    ("variable", "meant"),
    [
        ("FLOWLET_LEESE", "FLOWLET_LEASE"),
        ("flowlet_slot", "FLOWLET_SLOTS"),
        ("FLOWLET_DATABASE", "FLOWLET_DATABASE_URL"),
        ("FLOWLET_LOGLEVEL", "FLOWLET_LOG_LEVEL"),
    ],
)
def test_a_variable_that_is_nearly_a_setting_is_refused_with_its_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, meant: str
) -> None:
    monkeypatch.setenv(variable, "1h")

    with pytest.raises(SettingsError, match=f"{variable} is no setting. Did you mean {meant}?"):
        Settings()


def test_any_other_variable_is_found_and_permitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWLET_WEATHER", "rain")
    monkeypatch.setenv("FLOWLET_LEASE", "1m")
    monkeypatch.setenv("GFLOW_LOG_LEVEL", "debug")

    assert Settings().lease == timedelta(minutes=1)
    assert find_unknown_variables() == ["FLOWLET_WEATHER", "GFLOW_LOG_LEVEL"]


def test_the_variables_of_kubernetes_services_and_of_the_tests_are_let_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "FLOWLET_PORT": "tcp://10.0.0.1:8080",
        "FLOWLET_SERVICE_HOST": "10.0.0.1",
        "FLOWLET_SERVICE_PORT": "8080",
        "FLOWLET_SERVICE_PORT_HTTP": "8080",
        "FLOWLET_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "FLOWLET_PORT_8080_TCP_PROTO": "tcp",
        "FLOWLET_PORT_8080_TCP_ADDR": "10.0.0.1",
        "FLOWLET_SLOTS_PORT": "tcp://10.0.0.2:80",
        "FLOWLET_SLOTS_SERVICE_HOST": "10.0.0.2",
        "FLOWLET_TEST_LEASE": "1",
    }.items():
        monkeypatch.setenv(name, value)

    assert Settings().port == 8080
    assert find_unknown_variables() == []


def test_a_port_that_is_a_number_is_read_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWLET_PORT", "9000")

    assert Settings().port == 9000
