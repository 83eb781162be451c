"""The commands of every page: the shell reads them, Flowlet's own exist with these options, URLs lead to routes."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import click
import jsonschema
import pytest

from flowlet.settings import Settings
from flowlet.web.app import create_app
from tests.docs.pages import ROOT, CodeBlock, list_pages, read_blocks
from tests.docs.shell import find_flowlet_arguments, parse_arguments, split_commands
from tests.web.app_harness import AppHarness, open_app_harness


def read_typed_text(block: CodeBlock) -> str:
    """Return what is typed of a block: of what a terminal shows, the lines after a dollar sign."""
    if block.language == "console" and (block.title or "$ " in block.text):
        return "\n".join(re.findall(r"^\$ (.+)$", block.text, re.MULTILINE))
    return block.text if block.language in ("sh", "console") else ""


SHELL_TEXTS = [
    (page.relative_to(ROOT).as_posix(), text)
    for page in list_pages()
    for block in read_blocks(page)
    if (text := read_typed_text(block))
]
COMMANDS = [(page, command) for page, text in SHELL_TEXTS for command in split_commands(text)]
"""The commands of all pages, each with its page."""
VARIABLE = re.compile(r"\bFLOWLET_(?!TEST_)[A-Z_]+\b(?!\.)")
OTHER_VARIABLES = {"FLOWLET_PORT_8080_TCP", "FLOWLET_SERVICE_HOST"}


@pytest.fixture
async def harness(sqlite_url: str) -> AsyncIterator[AppHarness]:
    """An application, whose routes are asked for."""
    async with open_app_harness(sqlite_url) as harness:
        yield harness


def test_a_shell_can_read_every_block() -> None:
    script = "\n".join(f"block_{number}() {{\n{text}\n}}" for number, (_, text) in enumerate(SHELL_TEXTS))

    checked = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)

    assert checked.stderr == ""


def test_every_command_of_flowlet_can_be_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "orders.jsonl.zst").touch()  # which "flowlet import" reads
    own = [(page, found) for page, command in COMMANDS if (found := find_flowlet_arguments(command)) is not None]

    faults = [f"{page}: flowlet {shlex.join(args)}: {fault}" for page, args in own if (fault := find_fault(args))]

    assert len(own) > 60
    assert not faults, "\n".join(faults)


def test_a_wrong_command_is_found() -> None:
    assert find_fault(["lost"])
    assert find_fault(["list", "--statsu", "failed"])
    assert find_fault(["key", "add"])
    assert find_fault(["list", "--status", "failed"]) is None


def test_the_programs_of_the_repository_exist_with_their_options() -> None:
    found = [command for _, command in COMMANDS if command[0] == "python" and command[1].endswith(".py")]
    own = [command for command in found if "/" in command[1]]

    for _, program, *arguments in own:
        source = (ROOT / program).read_text(encoding="utf-8")
        assert all(f'"{word}"' in source for word in arguments if word.startswith("--")), program
    assert own


def test_the_targets_of_make_exist() -> None:
    named = {
        target
        for page in list_pages()
        for block in read_blocks(page)
        for target in re.findall(r"^make (\w+)", block.text, re.MULTILINE)
    }

    assert named >= {"demo", "test"}
    assert named <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


async def test_every_url_leads_to_a_route_and_every_body_fits(harness: AppHarness) -> None:
    app: Any = create_app(harness.services)
    routes = app.url_map.bind("127.0.0.1")
    key = {"X-API-Key": harness.keys["viewer"]}
    document = await (await app.test_client().get("/openapi.json", headers=key)).get_json()
    requests = [read_request(command) for _, command in COMMANDS if command[0] == "curl"]

    for method, path, query, body in requests:
        rule, _ = routes.match(path, method=method, return_rule=True)
        template = re.sub(r"<(?:\w+:)?(\w+)>", lambda match: "{" + match[1] + "}", rule.rule)
        operation = document["paths"].get(template, {}).get(method.lower())
        if path.startswith("/api/"):
            assert set(query) <= {one["name"] for one in operation.get("parameters", ()) if one.get("in") == "query"}
        if body is not None:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            jsonschema.validate(body, {**schema, "components": document["components"]})
    assert len(requests) > 8


def test_every_variable_that_a_page_names_is_a_setting() -> None:
    pages = [page for page in list_pages() if page.name not in ("CHANGELOG.md", "DECISIONS.md")]
    known = {f"FLOWLET_{name.upper()}" for name in Settings.model_fields} | OTHER_VARIABLES

    named = {name for page in pages for name in VARIABLE.findall(page.read_text(encoding="utf-8"))}

    assert not {name for name in named - known if not (name.endswith("_") or name.startswith("FLOWLET_TEST_"))}


def find_fault(arguments: list[str]) -> str | None:
    """Return why a command line of Flowlet cannot be used; None if it can."""
    try:
        parse_arguments(arguments)
    except click.UsageError as error:
        return error.format_message()
    return None


def read_request(command: list[str]) -> tuple[str, str, dict[str, list[str]], Any]:
    """Return the method, the path, the query and the JSON body of a call of ``curl``."""
    method, body, url = None, None, ""
    words = iter(command[1:])
    for word in words:
        if word == "-X":
            method = next(words)
        elif word in ("--json", "-d", "--data-urlencode"):
            text = next(words)
            method = method or "POST"
            body = json.loads(text) if text.startswith("{") else body
        elif word in ("-H", "-c", "--retry"):
            next(words)
        elif word.startswith("http://127.0.0.1:8080/"):
            url = word
    parts = urlsplit(url)
    assert parts.path, command
    return method or "GET", parts.path, parse_qs(parts.query), body
