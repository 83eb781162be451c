"""``flowlet user`` and ``flowlet key``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flowlet.cli import main
from tests.cli.conftest import RunCommand

PASSWORD = "correct horse"
RunWithInput = Callable[..., Result]


@pytest.fixture
def migrated_database(run_flowlet: RunCommand) -> None:
    """The tables of an empty database, ./flowlet.db."""
    run_flowlet("db", "upgrade")


@pytest.fixture
def run_with_input(working_folder: Path) -> RunWithInput:
    """Run the command with something on its standard input."""

    def invoke_command(*arguments: str, input_text: str | bytes) -> Result:
        return CliRunner().invoke(main, arguments, input=input_text, prog_name="flowlet", catch_exceptions=False)

    return invoke_command


@pytest.fixture
def add_user(run_with_input: RunWithInput, migrated_database: None) -> RunWithInput:
    """Make a user with the common password."""

    def invoke_add(name: str, *options: str) -> Result:
        return run_with_input("user", "add", name, *options, "--password-stdin", input_text=f"{PASSWORD}\n")

    return invoke_add


def list_entries(flowlet: RunCommand, group: str = "user") -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(flowlet(group, "list", "--json").stdout)
    return found


def test_a_user_is_made_with_a_password_from_standard_input(add_user: RunWithInput, run_flowlet: RunCommand) -> None:
    result = add_user("Ada Müller", "--role", "operator")

    assert (result.exit_code, result.stdout, result.stderr) == (
        0,
        "Created user Ada Müller with the role operator.\n",
        "",
    )
    (user,) = list_entries(run_flowlet)
    assert (user["username"], user["role"], user["isDisabled"], user["lastLogin"]) == (
        "Ada Müller",
        "operator",
        False,
        None,
    )
    assert user["createdBy"]
    assert str(user["created"]).endswith("Z")


def test_a_user_is_a_viewer_if_nothing_else_is_said(add_user: RunWithInput) -> None:
    assert add_user("ada").stdout == "Created user ada with the role viewer.\n"


def test_a_password_is_asked_for_twice_and_not_shown(run_with_input: RunWithInput, migrated_database: None) -> None:
    result = run_with_input("user", "add", "ada", input_text=f"{PASSWORD}\n{PASSWORD}\n")

    assert (result.exit_code, result.stdout) == (0, "Created user ada with the role viewer.\n")
    assert "Password:" in result.stderr
    assert PASSWORD not in result.output


def test_two_passwords_that_differ_are_asked_for_again(run_with_input: RunWithInput, migrated_database: None) -> None:
    result = run_with_input("user", "add", "ada", input_text=f"{PASSWORD}\nanother\n{PASSWORD}\n{PASSWORD}\n")

    assert (result.exit_code, result.stdout) == (0, "Created user ada with the role viewer.\n")


@pytest.mark.parametrize("command", ["add", "password"])
def test_a_password_is_never_an_argument(run_flowlet: RunCommand, migrated_database: None, command: str) -> None:
    assert run_flowlet("user", command, "ada", PASSWORD).exit_code == 2
    assert run_flowlet("user", command, "ada", "--password", PASSWORD).exit_code == 2


@pytest.mark.parametrize("typed", [b"", b"short\n", b"two lines\nof text\n", b"\xff\xfe no text at all\n", b"x" * 1001])
def test_an_unusable_password_is_refused_and_not_shown(
    run_with_input: RunWithInput, run_flowlet: RunCommand, migrated_database: None, typed: bytes
) -> None:
    result = run_with_input("user", "add", "ada", "--password-stdin", input_text=typed)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: a password ")
    assert "short" not in result.stderr
    assert list_entries(run_flowlet) == []


def test_a_name_that_is_taken_is_one_message(add_user: RunWithInput) -> None:
    add_user("ada")

    result = add_user("ADA")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: there is a user 'ADA' already; upper and lower case are the same.\n"


def test_an_unknown_role_ends_with_2_and_names_the_roles(add_user: RunWithInput) -> None:
    result = add_user("ada", "--role", "king")

    assert result.exit_code == 2
    assert "'viewer', 'operator', 'admin'" in result.stderr


def test_a_password_can_be_changed(add_user: RunWithInput, run_with_input: RunWithInput) -> None:
    add_user("ada")

    result = run_with_input("user", "password", "ADA", "--password-stdin", input_text="another horse\r\n")

    assert (result.exit_code, result.stdout, result.stderr) == (0, "Changed the password of ada.\n", "")


def test_a_role_can_be_changed(add_user: RunWithInput, run_flowlet: RunCommand) -> None:
    add_user("ada")

    result = run_flowlet("user", "role", "ada", "OPERATOR")

    assert (result.exit_code, result.stdout) == (0, "ada has the role operator now.\n")
    assert list_entries(run_flowlet)[0]["role"] == "operator"


def test_a_user_can_be_disabled_enabled_and_deleted(add_user: RunWithInput, run_flowlet: RunCommand) -> None:
    add_user("ada")

    said = []
    standings = []
    for command in ("disable", "enable", "delete"):
        said.append(run_flowlet("user", command, "ada").stdout)
        standings.append([user["isDisabled"] for user in list_entries(run_flowlet)])

    assert said == ["Disabled user ada.\n", "Enabled user ada.\n", "Deleted user ada.\n"]
    assert standings == [[True], [False], []]


@pytest.mark.parametrize(
    "command", [("role", "ada", "operator"), ("disable", "ada"), ("enable", "ada"), ("delete", "ada")]
)
def test_a_user_with_another_version_than_expected_is_not_changed(
    add_user: RunWithInput, run_flowlet: RunCommand, command: tuple[str, ...]
) -> None:
    add_user("ada")
    before = list_entries(run_flowlet)

    stale = run_flowlet("user", *command, "--expected-version", "7")
    after_stale = list_entries(run_flowlet)
    current = run_flowlet("user", *command, "--expected-version", str(before[0]["version"]))

    assert (stale.exit_code, stale.stdout) == (1, "")
    assert "has version 1 now, but version 7 was expected. Nothing was changed." in stale.stderr
    assert after_stale == before
    assert current.exit_code == 0


def test_a_password_is_changed_only_in_the_expected_version(
    add_user: RunWithInput, run_with_input: RunWithInput
) -> None:
    add_user("ada")
    command = ("user", "password", "ada", "--password-stdin", "--expected-version")

    ends = [run_with_input(*command, version, input_text="another horse\n").exit_code for version in ("1", "1", "2")]

    assert ends == [0, 1, 0]


def test_a_key_is_revoked_only_in_the_expected_version(add_user: RunWithInput, run_flowlet: RunCommand) -> None:
    add_user("ada")
    id = run_flowlet("key", "add", "ci", "--user", "ada").stdout.split("_")[1]

    ends = [run_flowlet("key", "revoke", id, "--expected-version", version).exit_code for version in ("2", "1")]

    assert ends == [1, 0]


@pytest.mark.parametrize("command", [("disable", "ada"), ("delete", "ada"), ("role", "ada", "viewer")])
def test_the_last_admin_stays(add_user: RunWithInput, run_flowlet: RunCommand, command: tuple[str, ...]) -> None:
    add_user("ada", "--role", "admin")

    result = run_flowlet("user", *command)

    assert (result.exit_code, result.stdout) == (1, "")
    assert "'ada' is the last enabled admin" in result.stderr


@pytest.mark.parametrize(
    "command", [("disable", "bob"), ("delete", "bob"), ("enable", "bob"), ("role", "bob", "admin")]
)
def test_an_unknown_user_is_one_message(
    run_flowlet: RunCommand, migrated_database: None, command: tuple[str, ...]
) -> None:
    result = run_flowlet("user", *command)

    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "Error: there is no user 'bob'\n")


def test_users_are_listed_for_people(add_user: RunWithInput, run_flowlet: RunCommand) -> None:
    add_user("ada", "--role", "admin")
    add_user("bob")
    run_flowlet("user", "disable", "bob")

    lines = run_flowlet("user", "list").stdout.split("\n")

    assert [line.split()[1:4] for line in lines if " ada " in line or " bob " in line] == [
        ["ada", "admin", "enabled"],
        ["bob", "viewer", "disabled"],
    ]


def test_a_key_is_printed_once_and_alone_on_stdout(add_user: RunWithInput, run_flowlet: RunCommand) -> None:
    add_user("ada", "--role", "operator")

    result = run_flowlet("key", "add", "nightly build", "--user", "ada", "--role", "operator", "--expires", "90 days")

    assert result.exit_code == 0
    text = result.stdout.strip()
    (key,) = list_entries(run_flowlet, "key")
    assert text.startswith(f"flk_{key['id']}_")
    assert (key["name"], key["username"], key["role"], key["revoked"]) == ("nightly build", "ada", "operator", None)
    assert key["expires"] is not None
    assert text not in result.stderr
    assert f"Key {key['id']}: role operator, expires " in result.stderr
    assert text[13:] not in run_flowlet("key", "list").stdout + json.dumps(key)


def test_a_key_that_does_not_expire_says_so(add_user: RunWithInput, run_flowlet: RunCommand) -> None:
    add_user("ada")

    assert "role viewer, never expires." in run_flowlet("key", "add", "ci", "--user", "ada").stderr


def test_a_key_is_at_most_its_owner(add_user: RunWithInput, run_flowlet: RunCommand) -> None:
    add_user("ada")

    result = run_flowlet("key", "add", "ci", "--user", "ada", "--role", "admin")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "'ada' is viewer: a key of that user cannot be admin" in result.stderr


@pytest.mark.parametrize("options", [("--user", "ada", "--expires", "soon"), ("--user", "ada", "--role", "king"), ()])
def test_a_key_that_cannot_be_said_ends_with_2(
    add_user: RunWithInput, run_flowlet: RunCommand, options: tuple[str, ...]
) -> None:
    add_user("ada")

    assert run_flowlet("key", "add", "ci", *options).exit_code == 2


def test_a_key_can_be_revoked(add_user: RunWithInput, run_flowlet: RunCommand) -> None:
    add_user("ada")
    text = run_flowlet("key", "add", "ci", "--user", "ada").stdout.strip()
    id = text.split("_")[1]

    result = run_flowlet("key", "revoke", id)

    assert (result.exit_code, result.stdout) == (0, f"Revoked API key {id}.\n")
    assert list_entries(run_flowlet, "key")[0]["revoked"] is not None
    assert " revoked " in run_flowlet("key", "list").stdout


def test_a_key_whose_owner_is_disabled_is_not_called_valid(add_user: RunWithInput, run_flowlet: RunCommand) -> None:
    add_user("ada")
    run_flowlet("key", "add", "ci", "--user", "ada")
    before = run_flowlet("key", "list").stdout
    run_flowlet("user", "disable", "ada")

    assert " valid " in before
    assert " owner disabled " in run_flowlet("key", "list").stdout


def test_an_unknown_key_is_one_message(run_flowlet: RunCommand, migrated_database: None) -> None:
    result = run_flowlet("key", "revoke", "abcd1234")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: there is no API key 'abcd1234'. Run: flowlet key list\n"


def test_keys_can_be_listed_by_owner(add_user: RunWithInput, run_flowlet: RunCommand) -> None:
    for name in ("ada", "bob"):
        add_user(name)
        run_flowlet("key", "add", f"of {name}", "--user", name)

    result = run_flowlet("key", "list", "--user", "ADA", "--json")

    assert [key["name"] for key in json.loads(result.stdout)] == ["of ada"]


def test_without_a_database_nothing_is_made(run_with_input: RunWithInput, working_folder: Path) -> None:
    result = run_with_input("user", "add", "ada", "--password-stdin", input_text=PASSWORD)

    assert (result.exit_code, result.stdout) == (1, "")
    assert "flowlet db upgrade" in result.stderr
    assert not list(working_folder.glob("*.db*"))


def test_the_commands_work_on_every_database(
    run_with_input: RunWithInput, run_flowlet: RunCommand, empty_database_url: str
) -> None:
    run_flowlet("db", "upgrade", "--database", empty_database_url)

    made = run_with_input(
        "--database", empty_database_url, "user", "add", "ada", "--password-stdin", input_text=PASSWORD
    )
    key = run_flowlet("key", "add", "ci", "--user", "ada", "--database", empty_database_url)

    assert (made.exit_code, key.exit_code) == (0, 0)
    assert len(json.loads(run_flowlet("key", "list", "--json", "--database", empty_database_url).stdout)) == 1
