"""Generate the synchronous client from the asynchronous one.

    python tools/unasync.py           writes flowlet/client/synchronous
    python tools/unasync.py FOLDER    writes the same files to another folder, to compare them

It replaces words, in code and in docstrings, and ruff formats the result. A leftover word of asyncio is an error: add
its counterpart to WORDS.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "flowlet" / "client" / "asynchronous"
TARGET = ROOT / "flowlet" / "client" / "synchronous"
HEADER = "# Generated from {} by `make client`. Edit that file, not this one.\n"

WORDS = {
    r"programs that run on asyncio": "all other programs",
    r"async (?=def|with|for)": "",
    r"await ": "",
    r"\bAwaitable, ": "",
    r"Awaitable\[(\w+)\]": r"\1",
    r"AsyncGenerator\[(\w+), None\]": r"Generator[\1, None, None]",
    r"\bAsync(?=[A-Z])": "",
    r"\b__a(enter|exit|iter|next)__": r"__\1__",
    r"\ba(close|next|read|iter_bytes)\b": r"\1",
    r"\bStopAsyncIteration\b": "StopIteration",
    r"\basynchronous\b": "synchronous",
    r"\bsleep\b": "block",
}
RUFF_RULES = "I,F401,RUF022,UP028"
"""Fixes after the replacements: the order of imports and of __all__, unused imports, loops that only yield."""
LEFTOVER_ASYNC = re.compile(r"\b(async|await|asyncio|asynchronous|Async\w*|Awaitable)\b")


def convert_source(text: str) -> str:
    """Return a module of the asynchronous client as one of the synchronous client, not yet formatted.

    Raises:
        ValueError: If a word of asyncio has no counterpart.
    """
    for pattern, replacement in WORDS.items():
        text = re.sub(pattern, replacement, text)
    if left := LEFTOVER_ASYNC.search(text):
        raise ValueError(f"{left[0]!r} has no counterpart: add one to WORDS in {Path(__file__).name}")
    return text


def build_module(source: Path) -> str:
    """Return the synchronous module of a file, with a header that names its source."""
    return HEADER.format(source.relative_to(ROOT).as_posix()) + convert_source(source.read_text(encoding="utf-8"))


def write_modules(target: Path) -> None:
    """Write every module of the synchronous client, and remove those without a source."""
    made = {source.name: build_module(source) for source in sorted(SOURCE.glob("*.py"))}
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob("*.py"):
        old.unlink()
    for name, text in made.items():
        (target / name).write_text(text, encoding="utf-8")
    ruff = [sys.executable, "-m", "ruff"]
    files = ["--quiet", "--config", str(ROOT / "pyproject.toml"), str(target)]
    rules = ["--select", RUFF_RULES, "--fix", "--unsafe-fixes"]
    subprocess.run([*ruff, "check", *rules, *files], check=True)  # noqa: S603 - our own files
    subprocess.run([*ruff, "format", *files], check=True)  # noqa: S603 - the same


if __name__ == "__main__":
    write_modules(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
