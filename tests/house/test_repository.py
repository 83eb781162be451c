"""What holds for the files of the repository, whatever is in them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.house.source import ROOT

ALLOWED_FOLDERS = {".ci", "benchmarks", "demo", "docs", "flowlet", "postman", "static", "templates", "tests", "tools"}
ALLOWED_DOCUMENTS = {"CHANGELOG.md", "CONTRIBUTING.md", "DECISIONS.md", "LICENSE", "README.md"}
ALLOWED_CONFIG_FILES = {
    ".dockerignore",
    ".gitignore",
    "Dockerfile",
    "Makefile",
    "compose.yaml",
    "constraints.txt",
    "pyproject.toml",
}
LINE_LIMIT = 350

# Put together from pieces, so that this file does not hold what it looks for.
MACHINE_PATHS = [f"/{first}{second}/" for first, second in [("wo", "rk"), ("fa", "rm"), ("ro", "ot"), ("ho", "me")]]
REGISTRY_HOSTS = [
    f"{name}.{domain}"
    for name, domain in [
        ("pypi", "org"),
        ("pypi", "python.org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs"),
        ("deb", "debian.org"),
        ("security", "debian.org"),
        ("proxy", "golang.org"),
    ]
]


def test_the_top_level_holds_what_belongs_there() -> None:
    strangers = {path.parts[0] for path in list_files()} - ALLOWED_FOLDERS - ALLOWED_DOCUMENTS - ALLOWED_CONFIG_FILES

    assert not strangers, f"these do not belong into the repository's top level: {', '.join(sorted(strangers))}"


def test_no_python_file_of_the_repository_is_too_long() -> None:
    lengths = {path: len(read_text(str(path)).splitlines()) for path in list_files() if path.suffix == ".py"}

    long = [f"{path}: {length}" for path, length in lengths.items() if length > LINE_LIMIT]

    assert lengths
    assert not long, f"above {LINE_LIMIT} lines: {', '.join(long)}. Split each where it has a second purpose."


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    pattern = re.compile("|".join(rf"(?<![\w.~*-]){path}" for path in MACHINE_PATHS))

    assert not list(find_lines(pattern))


def test_no_file_names_a_package_registry() -> None:
    pattern = re.compile("|".join(rf"(?<![\w-]){re.escape(host)}" for host in REGISTRY_HOSTS))

    assert not list(find_lines(pattern))


def test_nothing_that_others_wrote_is_tracked() -> None:
    pattern = re.compile(r"\.min\.(js|css)$|(^|/)(vendor|node_modules)/|\.lock$|package-lock\.json$")

    assert not [str(path) for path in list_files() if pattern.search(path.as_posix())]


def test_the_commands_of_the_readme_exist() -> None:
    commands = re.findall(r"^\s*(?:\$ )?make ([a-z]+)", read_text("README.md"), re.MULTILINE)

    targets = re.findall(r"^([a-z]+):", read_text("Makefile"), re.MULTILINE)

    assert commands, "README.md says no 'make ...' command: a reader wants to know how to start it"
    assert set(commands) <= set(targets)


def test_the_gate_runs_the_command_that_developers_run() -> None:
    lines = read_text(".ci/run").splitlines()

    assert lines[-1] == "make test"
    assert os.access(ROOT / ".ci/run", os.X_OK)


def read_text(name: str) -> str:
    """Return the text of a file of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def list_files() -> list[Path]:
    """Return every file that is tracked, or would be after ``git add``, from the root."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file()]


def find_lines(pattern: re.Pattern[str]) -> Iterator[str]:
    """Yield "file:line: text" of each line that matches, in the files that are text."""
    for path in list_files():
        try:
            text = read_text(str(path))
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                yield f"{path}:{number}: {line.strip()}"
