"""Commands on a database and through a server: the same output, and the same exit codes."""

from __future__ import annotations

import json
import re
import sqlite3
from typing import Any

import pytest
from click.testing import CliRunner

from flowlet.cli import main
from tests.cli.targets.conftest import Doors


@pytest.mark.parametrize(
    "command",
    [
        "list",
        "list --json",
        "list --status failed --variable words=0 --json",
        "list --limit 1",
        "show text-3",
        "show text-0 --json",
        "show 2 --traceback",
        "show 1 --traceback",
        "show 99",
        "show nothing",
        "executors",
        "executors --json",
        "definitions",
        "definitions --json",
        "audit --action user.created --json",
        "inbox",
        "inbox --oldest --json",
        "events --after 0 --limit 4",
        "events text-0 --kind error --after 0 --limit 1 --json",
        "events --kind eror",
        "schedule show missing",
    ],
)
def test_what_is_read_is_printed_alike(doors: Doors, command: str) -> None:
    on_database, through_server = (doors.run(target, *command.split()) for target in ("database", "server"))

    assert through_server.stdout == on_database.stdout
    assert through_server.exit_code == on_database.exit_code
    assert bool(on_database.stdout) == (on_database.exit_code == 0)


@pytest.mark.parametrize("target", ["database", "server"])
def test_an_instance_is_operated_from_the_command_line(doors: Doors, target: str) -> None:
    def run(*arguments: str) -> str:
        result = doors.run(target, *arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def run_refused(*arguments: str) -> int:
        return doors.run(target, *arguments).exit_code

    module = ("-m", "reviews.py")
    created = json.loads(run("start", "Reviews", "--key", "K1", "--json", *module))
    id, version = str(created["id"]), "1"
    assert created["isNew"] is True
    assert run("pause", id, "--reason", "lunch") == f"{id} is PAUSED in state review\n"
    assert run_refused("pause", id) == 1
    assert run("resume", created["externalId"]) == f"{id} is WAITING in state review\n"
    edited = json.loads(run("set", id, "words=7", "note=a text", "--json", *module))
    assert run_refused("set", id, "words=many", *module) == 1
    assert run_refused("set", id, "words=8", "--expected-version", version, *module) == 1
    assert run_refused("set", id, "words", *module) == 2
    assert edited["vars"] == {"words": 7, "note": "a text"}
    assert run("assign", id, "admin") == f"{id} is assigned to admin\n"
    assert run_refused("assign", id, "nobody") == 1
    (waiting,) = [one for one in json.loads(run("inbox", "--type", "Reviews", "--json")) if one["id"] == created["id"]]
    assert (waiting["assignee"], waiting["teams"], waiting["version"]) == ("admin", [], edited["version"] + 1)
    assert f" {id} " in run("inbox", "--limit", "1000")
    assert run_refused("inbox", "--mine", "--my-teams") == 2
    assert run("unassign", id) == f"{id} is assigned to nobody\n"
    assert run_refused("answer", id, "nowhere", *module) == 1
    assert run_refused("answer", id, "publish", "--form", "[]", *module) == 2
    run("answer", id, "await_news", "--form", '{"comment": "wait"}', *module)
    assert run_refused("move", id, "nowhere", *module) == 1
    moved = run("move", id, "await_news", "--force", "--reason", "again", *module)
    assert moved == f"{id} is IN_PROGRESS in state await_news\n"
    sent = json.loads(run("send", "news", id, "--key", "n1", "--json", *module))
    assert sent["workflowId"] == created["id"]
    run("move", id, "publish", "--when", "2099-01-01", *module)
    run("wake", id)
    assert run_refused("retry", id) == 1
    assert run("cancel", id) == f"{id} is CANCELLED in state publish\n"
    assert run_refused("acknowledge", id, "--reason", "known") == 1
    kinds = [line["kind"] for line in json.loads(run("show", id, "--json"))["history"]]
    assert kinds == [
        *("CREATED", "PAUSED", "RESUMED", "EDITED", "ASSIGNED", "ASSIGNED", "ANSWERED", "MOVED", "MESSAGE", "MOVED"),
        *("WOKEN", "CANCELLED"),
    ]


@pytest.mark.parametrize("target", ["database", "server"])
def test_a_wait_that_times_out_exits_with_one(doors: Doors, target: str) -> None:
    result = doors.run(target, "start", "Reviews", "-m", "reviews.py", "--wait", "--timeout", "50ms")

    assert (result.exit_code, result.stdout.strip().isdigit()) == (1, True)
    assert "is still WAITING in state 'review' after the timeout." in result.stderr


@pytest.mark.parametrize("target", ["database", "server"])
def test_a_schedule_is_managed_on_either(doors: Doors, target: str) -> None:
    name = f"nightly-{target}"

    added = doors.run(
        target, "schedule", "add", name, "Reviews", "--every", "15m", "--jitter", "30s", "-m", "reviews.py"
    )
    shown = json.loads(doors.run("database", "schedule", "show", name, "--json").stdout)
    again = json.loads(doors.run("server", "schedule", "show", name, "--json").stdout)
    paused = doors.run(target, "schedule", "pause", name, "--reason", "holidays")
    fired = doors.run(target, "schedule", "fire", name, "-m", "reviews.py", "--json")
    filled = doors.run(target, "schedule", "backfill", name, "2026-03-28", "2026-03-28T01:00", "-m", "reviews.py")
    listed = doors.run(target, "schedule", "list", "--json")
    resumed = json.loads(doors.run(target, "schedule", "resume", name, "--json").stdout)
    paused_again = json.loads(doors.run(target, "schedule", "pause", name, "--json").stdout)
    removed = doors.run(target, "schedule", "remove", name)
    doors.run(target, "schedule", "add", name, "Reviews", "--every", "15m", "-m", "reviews.py")
    removed_again = json.loads(doors.run(target, "schedule", "remove", name, "--json").stdout)

    assert again == shown
    assert (added.stdout.split(), shown["jitterSeconds"]) == (shown["times"], 30.0)
    assert paused.stdout == f"Paused {name}.\n"
    assert json.loads(fired.stdout)["externalId"].startswith(f"{name}@")
    assert filled.stdout == "Created 5; 0 existed.\n"
    assert [one["pausedReason"] for one in json.loads(listed.stdout)] == ["holidays"]
    assert (resumed["name"], resumed["paused"], bool(paused_again["paused"])) == (name, None, True)
    assert removed.stdout == f"Deleted {name}.\n"
    assert removed_again == {"name": name, "deleted": True}


@pytest.mark.parametrize("target", ["database", "server"])
def test_views_are_managed_and_listed_on_either(doors: Doors, target: str) -> None:
    def run(*arguments: str) -> Any:
        result = doors.run(target, *arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    name, new_name = f"View {target}", f"Sorted {target}"
    saved = run("view", "save", name, "status=NEW&sort=id&variable=amount%3E0", "--shared")
    again = run("view", "save", name, "sort=next&status=NEW&status=PAUSED", "--shared", "--expected-version", "1")
    renamed = run("view", "rename", name, new_name, "--shared")
    stale = doors.run(target, "view", "delete", new_name, "--shared", "--expected-version", "1")
    commands = [("view", "list"), ("view", "list", "--json"), ("list", "--view", new_name, "--json")]
    both = [doors.run(place, *command) for command in commands for place in ("database", "server")]
    deleted = run("view", "delete", new_name, "--shared")

    assert (saved["version"], again["id"], again["address"]) == (1, saved["id"], "status=NEW&status=PAUSED&sort=next")
    assert (renamed["name"], renamed["version"], stale.exit_code) == (new_name, 3, 1)
    assert [one.exit_code for one in both] == [0] * 6
    assert [one.stdout for one in both[::2]] == [one.stdout for one in both[1::2]]
    assert deleted == {"name": new_name, "deleted": True}


@pytest.mark.parametrize("target", ["database", "server"])
def test_people_are_managed_on_either(doors: Doors, target: str) -> None:
    name, team = f"Bob {target}", f"team-{target}"

    def run(*arguments: str, typed: str | None = None) -> Any:
        result = doors.run(target, *arguments, "--json", typed=typed)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    made = run("user", "add", name, "--role", "operator", "--password-stdin", typed="four words make one")
    key = run("key", "add", "ci", "--user", name.upper(), "--role", "operator", "--expires", "90 days")
    disabled = run("user", "disable", name, "--expected-version", "1")
    listed = {place: doors.run(place, "key", "list", "--user", name).stdout for place in ("database", "server")}
    revoked = run("key", "revoke", key["key"])
    enabled = run("user", "enable", name)
    stale = doors.run(target, "user", "role", name, "viewer", "--expected-version", "1")
    changed = run("user", "password", name, "--password-stdin", typed="another four words")
    lowered = run("user", "role", name, "viewer")
    members = [run("team", verb, team, *who)["members"] for verb, who in (("add", [name, "admin"]), ("remove", [name]))]
    lists = [("user", "list"), ("key", "list", "--user", name), ("team", "list")]
    commands = [(*command, *form) for command in lists for form in ((), ("--json",))]
    both = [doors.run(place, *command).stdout for command in commands for place in ("database", "server")]
    gone = [run("team", "delete", team), run("user", "delete", name)]
    unknown = [doors.run(target, "user", "enable", name), doors.run(target, "team", "remove", team, "admin")]

    assert (made["username"], made["role"], disabled["isDisabled"], enabled["isDisabled"]) == (
        *(name, "operator", True, False),
    )
    assert key["key"].startswith(f"flk_{key['id']}_")
    assert "owner disabled" in listed["database"]
    assert listed["server"] == listed["database"]
    assert (revoked["id"], bool(revoked["revoked"])) == (key["id"], True)
    assert (stale.exit_code, changed["version"], lowered["role"]) == (1, 4, "viewer")
    assert members == [["admin", name], ["admin"]]
    assert both[::2] == both[1::2]
    assert gone == [{"name": team, "deleted": True}, {"username": name, "deleted": True}]
    assert [(one.exit_code, one.stderr) for one in unknown] == [
        (1, f"Error: there is no user '{name}'\n"),
        (1, f"Error: there is no team '{team}'\n"),
    ]


def test_a_diagram_is_drawn_by_a_server_as_by_a_module(doors: Doors) -> None:
    for form in ("mermaid", "svg"):
        drawn = doors.run("server", "diagram", "Reviews", "--format", form)
        of_module = doors.run("database", "diagram", "Reviews", "--format", form, "-m", "reviews.py")
        assert "review" in drawn.stdout
        assert drawn.stdout.count("publish") == of_module.stdout.count("publish")
    as_json = json.loads(doors.run("server", "diagram", "Reviews", "--json").stdout)
    assert (as_json["name"], as_json["version"], as_json["format"]) == ("Reviews", 1, "mermaid")
    assert doors.run("server", "diagram", "Reviewz").exit_code == 1


def test_the_server_and_the_key_may_come_from_the_environment(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    _, url, _, key = doors.server
    monkeypatch.setenv("FLOWLET_URL", url)
    monkeypatch.setenv("FLOWLET_KEY", key)

    result = CliRunner().invoke(main, ["show", "text-3", "--json"], catch_exceptions=False)

    assert json.loads(result.stdout)["externalId"] == "text-3"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["list", "--url", "http://127.0.0.1:1"], 2, "set FLOWLET_KEY, or write --api-key"),
        (["list", "--url", "nonsense", "--api-key", "flk_x"], 2, "'nonsense' is not the address of a server"),
        (["list", "--url", "http://127.0.0.1:1", "--database", "sqlite:///x.db"], 2, "Remove one of them"),
        (["--url", "http://127.0.0.1:1", "doctor"], 2, "flowlet doctor works on a database"),
    ],
)
def test_a_server_that_cannot_be_used_is_one_message(arguments: list[str], exit_code: int, message: str) -> None:
    result = CliRunner().invoke(main, arguments, prog_name="flowlet", catch_exceptions=False)

    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert message in result.stderr


def test_the_doctor_prints_its_findings_as_json(doors: Doors) -> None:
    result = doors.run("database", "doctor", "--json")
    report = json.loads(result.stdout)

    assert set(report) == {"findings", "kept"}
    assert result.exit_code == (1 if report["findings"] else 0)
    assert all(set(finding) == {"instanceId", "rule", "message"} for finding in report["findings"])


def test_a_rejected_key_exits_with_one_and_is_not_shown(doors: Doors) -> None:
    result = CliRunner().invoke(main, ["list", *doors.server[:2], "--api-key", "flk_s3cret_x"], catch_exceptions=False)

    assert (result.exit_code, result.stdout) == (1, "")
    assert "s3cret" not in result.stderr


@pytest.mark.parametrize("target", ["database", "server"])
def test_show_says_how_many_children_are_still_to_be_made(doors: Doors, target: str) -> None:
    started = ("start", "Reviews", "--external-id", f"fan-{target}", "-m", "reviews.py", "--json")
    id = json.loads(doors.run(target, *started).stdout)["id"]
    with sqlite3.connect(doors.folder / "flowlet.db") as connection:
        connection.execute("UPDATE flowlet_workflow SET children = 300, open_children = 290 WHERE id = ?", (id,))
        connection.execute("INSERT INTO flowlet_spawn VALUES (?, 1, 0, 100, 0, '')", (id,))
    connection.close()

    shown = doors.run(target, "show", str(id)).stdout

    assert re.search(r"children made\W+200 of 300", shown)
    assert json.loads(doors.run(target, "show", str(id), "--json").stdout)["unmadeChildren"] == 100


@pytest.mark.parametrize("target", ["database", "server"])
def test_show_says_which_paused_lane_an_instance_waits_for(doors: Doors, target: str) -> None:
    started = ("start", "Reviews", "--external-id", f"held-{target}", "-m", "reviews.py", "--group", target, "--json")
    id = str(json.loads(doors.run(target, *started).stdout)["id"])
    doors.run(target, "answer", id, "publish", "-m", "reviews.py")
    doors.run(target, "lane", "pause", "group", target, "--reason", "an upgrade")

    shown = doors.run(target, "show", id, "--json").stdout
    doors.run(target, "lane", "resume", "group", target)

    reason = json.loads(shown)["waitReason"]
    assert re.fullmatch(
        rf"It waits because the executor group '{target}' is paused by \w+ since .*: an upgrade\.", reason
    )
    assert json.loads(doors.run(target, "show", id, "--json").stdout)["waitReason"] is None


def test_a_limit_and_a_lane_change_through_both_alike(doors: Doors) -> None:
    reason = ("--reason", "the bank moves", "--json")
    changed: dict[str, list[Any]] = {}
    for target in ("database", "server"):
        commands = (
            ("limit", "hold", "Reviews", "publish", *reason),
            ("limit", "list", "--json"),
            ("limit", "release", "Reviews", "publish", "--interval", "100ms", "--json"),
            ("lane", "pause", "group", "night", *reason),
            ("lane", "list", "--json"),
            ("lane", "resume", "group", "night", "--json"),
        )
        results = [doors.run(target, *command) for command in commands]
        again = doors.run(target, "limit", "hold", "Reviews", "review", "--reason", "why")
        changed[target] = [json.loads(result.stdout) for result in results]
        assert [result.exit_code for result in results] == [0] * len(commands)
        assert (again.exit_code, "has no limits" in again.stderr) == (1, True)
    held, listed, released, paused, lanes, resumed = changed["server"]

    assert remove_what_differs(changed["database"]) == remove_what_differs(changed["server"])
    assert listed == [held]
    assert (held["type"], held["state"], held["capacity"], held["ratePeriodSeconds"]) == ("Reviews", "publish", 5, 60)
    assert (held["heldReason"], released["held"], released["openedIntervalSeconds"]) == ("the bank moves", None, 0.1)
    assert (lanes, resumed) == ([paused], paused)
    assert paused["paused"].endswith("Z")


def remove_what_differs(shown: Any) -> Any:
    """Return what commands have shown, without times and users."""
    if isinstance(shown, list):
        return [remove_what_differs(one) for one in shown]
    return {name: value for name, value in shown.items() if name not in ("held", "heldBy", "paused", "pausedBy")}


@pytest.mark.parametrize("target", ["database", "server"])
def test_both_mean_the_same_by_digits_by_a_move_and_by_a_preview(doors: Doors, target: str) -> None:
    number = f"00{len(target)}"
    started = ("start", "Reviews", "--external-id", number, "-m", "reviews.py", "--json")
    id = json.loads(doors.run(target, *started).stdout)["id"]
    previewed = doors.run(target, "schedule", "add", "x", "Nothing", "--every", "1h", "--preview", "-m", "reviews.py")

    found = json.loads(doors.run(target, "show", f"{10**20 + id}", "--json").stdout or "null")
    moved = doors.run(target, "move", number, "publish", "-m", "reviews.py")

    assert (found, previewed.exit_code) == (None, 1)
    assert moved.stdout == f"{id} is IN_PROGRESS in state review\n"
    kinds = [line["kind"] for line in json.loads(doors.run(target, "show", str(id), "--json").stdout)["history"]]
    assert kinds == ["CREATED", "ANSWERED"]
