"""The files that the container image is made of, as its tests read them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml

from tests.house.source import ROOT

__all__ = ["DockerInstruction", "is_in_build_context", "read_compose", "read_environment", "read_stages"]


@dataclass(frozen=True, slots=True)
class DockerInstruction:
    """A line of the Dockerfile, with what continues it."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """The words of a command in JSON's form, which no shell reads."""
        words: list[str] = json.loads(self.text[self.text.index("[") :])
        return words


def read_stages() -> list[list[DockerInstruction]]:
    """Return the instructions of each stage; what stands before the first FROM comes with the first."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = [line.strip() for line in re.sub(r"\s*\\\n\s*", " ", text).splitlines() if line.strip()]
    instructions = [DockerInstruction(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]
    starts = [place for place, one in enumerate(instructions) if one.name == "FROM"]
    bounds = zip([0, *starts[1:]], [*starts[1:], len(instructions)], strict=True)
    return [instructions[start:end] for start, end in bounds]


def read_environment(stage: list[DockerInstruction]) -> dict[str, str]:
    """Return the environment variables that a stage sets."""
    pairs = [pair.partition("=") for one in stage if one.name == "ENV" for pair in one.text.split()]
    return {name: value for name, _, value in pairs}


def is_in_build_context(path: str) -> bool:
    """Return whether .dockerignore lets a file through: the last pattern that fits it or a folder above it decides."""
    sent = True
    parts = PurePosixPath(path).parts
    above = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.removeprefix("!")
        if pattern and not line.startswith("#") and any(_matches_pattern(one, pattern) for one in above):
            sent = line.startswith("!")
    return sent


def read_compose() -> dict[str, Any]:
    """Return what compose.yaml says, with its anchors followed; variables stand as they are written."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return found


def _matches_pattern(path: str, pattern: str) -> bool:
    expression = re.escape(pattern).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
    return re.fullmatch(expression, path) is not None
