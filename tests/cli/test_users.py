"""``flowlet user`` and ``flowlet key``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flowlet.cli import main
from tests.cli.conftest import Command

PASSWORD = "correct horse"
Typing = Callable[..., Result]


@pytest.fixture
def tables(flowlet: Command) -> None:
    """The tables of an empty database, ./flowlet.db."""
    flowlet("db", "upgrade")


@pytest.fixture
def typing(folder: Path) -> Typing:
    """Run the command with something on its standard input."""

    def run(*arguments: str, typed: str | bytes) -> Result:
        return CliRunner().invoke(main, arguments, input=typed, prog_name="flowlet", catch_exceptions=False)

    return run


@pytest.fixture
def add(typing: Typing, tables: None) -> Typing:
    """Make a user with the common password."""

    def run(name: str, *options: str) -> Result:
        return typing("user", "add", name, *options, "--password-stdin", typed=f"{PASSWORD}\n")

    return run


def listed(flowlet: Command, group: str = "user") -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(flowlet(group, "list", "--json").stdout)
    return found


def test_a_user_is_made_with_a_password_from_standard_input(add: Typing, flowlet: Command) -> None:
    result = add("Ada Müller", "--role", "operator")

    assert (result.exit_code, result.stdout, result.stderr) == (0, "Ada Müller is operator\n", "")
    (user,) = listed(flowlet)
    assert (user["username"], user["role"], user["isDisabled"], user["lastLogin"]) == (
        "Ada Müller",
        "operator",
        False,
        None,
    )
    assert user["createdBy"]
    assert str(user["created"]).endswith("Z")


def test_a_user_is_a_viewer_if_nothing_else_is_said(add: Typing) -> None:
    assert add("ada").stdout == "ada is viewer\n"


def test_a_password_is_asked_for_twice_and_not_shown(typing: Typing, tables: None) -> None:
    result = typing("user", "add", "ada", typed=f"{PASSWORD}\n{PASSWORD}\n")

    assert (result.exit_code, result.stdout) == (0, "ada is viewer\n")
    assert "Password:" in result.stderr
    assert PASSWORD not in result.output


def test_two_passwords_that_differ_are_asked_for_again(typing: Typing, tables: None) -> None:
    result = typing("user", "add", "ada", typed=f"{PASSWORD}\nanother\n{PASSWORD}\n{PASSWORD}\n")

    assert (result.exit_code, result.stdout) == (0, "ada is viewer\n")


@pytest.mark.parametrize("command", ["add", "password"])
def test_a_password_is_never_an_argument(flowlet: Command, tables: None, command: str) -> None:
    assert flowlet("user", command, "ada", PASSWORD).exit_code == 2
    assert flowlet("user", command, "ada", "--password", PASSWORD).exit_code == 2


@pytest.mark.parametrize("typed", [b"", b"short\n", b"two lines\nof text\n", b"\xff\xfe no text at all\n", b"x" * 1001])
def test_an_unusable_password_is_refused_and_not_shown(
    typing: Typing, flowlet: Command, tables: None, typed: bytes
) -> None:
    result = typing("user", "add", "ada", "--password-stdin", typed=typed)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: a password ")
    assert "short" not in result.stderr
    assert listed(flowlet) == []


def test_a_name_that_is_taken_is_one_message(add: Typing) -> None:
    add("ada")

    result = add("ADA")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: there is a user 'ADA' already. Names differ in more than their case.\n"


def test_an_unknown_role_ends_with_2_and_names_the_roles(add: Typing) -> None:
    result = add("ada", "--role", "king")

    assert result.exit_code == 2
    assert "'viewer', 'operator', 'admin'" in result.stderr


def test_a_password_can_be_changed(add: Typing, typing: Typing) -> None:
    add("ada")

    result = typing("user", "password", "ADA", "--password-stdin", typed="another horse\r\n")

    assert (result.exit_code, result.stdout, result.stderr) == (0, "ada has a new password\n", "")


def test_a_role_can_be_changed(add: Typing, flowlet: Command) -> None:
    add("ada")

    result = flowlet("user", "role", "ada", "OPERATOR")

    assert (result.exit_code, result.stdout) == (0, "ada is operator\n")
    assert listed(flowlet)[0]["role"] == "operator"


def test_a_user_can_be_disabled_enabled_and_deleted(add: Typing, flowlet: Command) -> None:
    add("ada")

    said = []
    standings = []
    for command in ("disable", "enable", "delete"):
        said.append(flowlet("user", command, "ada").stdout)
        standings.append([user["isDisabled"] for user in listed(flowlet)])

    assert said == ["ada is disabled\n", "ada is enabled\n", "ada is deleted\n"]
    assert standings == [[True], [False], []]


@pytest.mark.parametrize("command", [("disable", "ada"), ("delete", "ada"), ("role", "ada", "viewer")])
def test_the_last_admin_stays(add: Typing, flowlet: Command, command: tuple[str, ...]) -> None:
    add("ada", "--role", "admin")

    result = flowlet("user", *command)

    assert (result.exit_code, result.stdout) == (1, "")
    assert "'ada' is the last admin" in result.stderr


@pytest.mark.parametrize(
    "command", [("disable", "bob"), ("delete", "bob"), ("enable", "bob"), ("role", "bob", "admin")]
)
def test_an_unknown_user_is_one_message(flowlet: Command, tables: None, command: tuple[str, ...]) -> None:
    result = flowlet("user", *command)

    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "Error: there is no user 'bob'\n")


def test_users_are_listed_for_people(add: Typing, flowlet: Command) -> None:
    add("ada", "--role", "admin")
    add("bob")
    flowlet("user", "disable", "bob")

    lines = flowlet("user", "list").stdout.split("\n")

    assert [line.split()[1:4] for line in lines if " ada " in line or " bob " in line] == [
        ["ada", "admin", "enabled"],
        ["bob", "viewer", "disabled"],
    ]


def test_a_key_is_printed_once_and_alone_on_stdout(add: Typing, flowlet: Command) -> None:
    add("ada", "--role", "operator")

    result = flowlet("key", "add", "nightly build", "--user", "ada", "--role", "operator", "--expires", "90 days")

    assert result.exit_code == 0
    text = result.stdout.strip()
    (key,) = listed(flowlet, "key")
    assert text.startswith(f"flk_{key['id']}_")
    assert (key["name"], key["username"], key["role"], key["revoked"]) == ("nightly build", "ada", "operator", None)
    assert key["expires"] is not None
    assert text not in result.stderr
    assert f"The key {key['id']} is operator, until " in result.stderr
    assert text[13:] not in flowlet("key", "list").stdout + json.dumps(key)


def test_a_key_that_does_not_expire_says_so(add: Typing, flowlet: Command) -> None:
    add("ada")

    assert "is viewer, with no end." in flowlet("key", "add", "ci", "--user", "ada").stderr


def test_a_key_is_at_most_its_owner(add: Typing, flowlet: Command) -> None:
    add("ada")

    result = flowlet("key", "add", "ci", "--user", "ada", "--role", "admin")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "'ada' is viewer: a key of that user cannot be admin" in result.stderr


@pytest.mark.parametrize("options", [("--user", "ada", "--expires", "soon"), ("--user", "ada", "--role", "king"), ()])
def test_a_key_that_cannot_be_said_ends_with_2(add: Typing, flowlet: Command, options: tuple[str, ...]) -> None:
    add("ada")

    assert flowlet("key", "add", "ci", *options).exit_code == 2


def test_a_key_can_be_revoked(add: Typing, flowlet: Command) -> None:
    add("ada")
    text = flowlet("key", "add", "ci", "--user", "ada").stdout.strip()
    id = text.split("_")[1]

    result = flowlet("key", "revoke", id)

    assert (result.exit_code, result.stdout) == (0, f"{id} is revoked\n")
    assert listed(flowlet, "key")[0]["revoked"] is not None
    assert " revoked " in flowlet("key", "list").stdout


def test_a_key_whose_owner_is_disabled_is_not_called_valid(add: Typing, flowlet: Command) -> None:
    add("ada")
    flowlet("key", "add", "ci", "--user", "ada")
    before = flowlet("key", "list").stdout
    flowlet("user", "disable", "ada")

    assert " valid " in before
    assert " owner disabled " in flowlet("key", "list").stdout


def test_an_unknown_key_is_one_message(flowlet: Command, tables: None) -> None:
    result = flowlet("key", "revoke", "abcd1234")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: there is no API key 'abcd1234'. Run: flowlet key list\n"


def test_keys_can_be_listed_by_owner(add: Typing, flowlet: Command) -> None:
    for name in ("ada", "bob"):
        add(name)
        flowlet("key", "add", f"of {name}", "--user", name)

    result = flowlet("key", "list", "--user", "ADA", "--json")

    assert [key["name"] for key in json.loads(result.stdout)] == ["of ada"]


def test_without_a_database_nothing_is_made(typing: Typing, folder: Path) -> None:
    result = typing("user", "add", "ada", "--password-stdin", typed=PASSWORD)

    assert (result.exit_code, result.stdout) == (1, "")
    assert "flowlet db upgrade" in result.stderr
    assert not list(folder.glob("*.db*"))


def test_the_commands_work_on_every_database(typing: Typing, flowlet: Command, database_url: str) -> None:
    flowlet("db", "upgrade", "--database", database_url)

    made = typing("--database", database_url, "user", "add", "ada", "--password-stdin", typed=PASSWORD)
    key = flowlet("key", "add", "ci", "--user", "ada", "--database", database_url)

    assert (made.exit_code, key.exit_code) == (0, 0)
    assert len(json.loads(flowlet("key", "list", "--json", "--database", database_url).stdout)) == 1
