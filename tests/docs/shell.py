"""The commands in the blocks of a page: split as a shell splits them, and parsed as Flowlet parses its own."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import PurePosixPath

import click

from flowlet.cli.root import main

__all__ = ["find_flowlet_arguments", "parse_arguments", "split_commands"]

_OPERATORS = ";&|"
_ASSIGNMENT = re.compile(r"[A-Z_a-z]+=")


def split_commands(text: str) -> Iterator[list[str]]:
    """Yield each command of a text as its words, without assignments before it and without redirections."""
    for line in _join_lines(text):
        words: list[str] = []
        for word in [*_split_words(line), ";"]:
            if set(word) <= set(_OPERATORS):
                if command := _strip_command(words):
                    yield command
                words = []
            else:
                words.append(word)


def find_flowlet_arguments(command: list[str]) -> list[str] | None:
    """Return what follows ``flowlet`` in a command, also within ``docker run`` and the like; None if it is another."""
    known = main.list_commands(click.Context(main))
    for place in range(len(command) - 1, -1, -1):
        if PurePosixPath(command[place]).name != "flowlet":
            continue
        following = command[place + 1 :]
        if place == 0 or (following and following[0] in known):
            return following
    return None


def parse_arguments(arguments: list[str]) -> None:
    """Parse the arguments of ``flowlet`` as the command does, without running it.

    Raises:
        click.UsageError: If there is no such command or option, or an argument is missing or cannot be used.
    """
    command: click.Command = main
    context, name = click.Context(main, info_name="flowlet"), "flowlet"
    while isinstance(command, click.Group):
        context = click.Context(command, info_name=name, parent=context)
        _, rest, _ = command.make_parser(context).parse_args(args=list(arguments))
        if not rest:  # an option that ends it, as --version
            return
        name, found, arguments = command.resolve_command(context, rest)  # type: ignore[assignment]  # it raises on None
        assert found
        command = found
    command.make_context(name, list(arguments), parent=context)


def _join_lines(text: str) -> Iterator[str]:
    """Yield the lines, one that ends within quotes together with the next one."""
    pending = ""
    for line in text.replace("\\\n", " ").splitlines():
        pending = f"{pending}\n{line}" if pending else line
        try:
            list(_split_words(pending))
        except ValueError:  # a quotation that is not closed yet
            continue
        yield pending
        pending = ""
    assert not pending, f"a quotation is not closed: {pending}"


def _split_words(line: str) -> Iterator[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=_OPERATORS + "<>")
    lexer.whitespace_split = True
    return iter(lexer)


def _strip_command(words: list[str]) -> list[str]:
    """Return a command without what is assigned before it, and without redirections."""
    while words and _ASSIGNMENT.match(words[0]):
        words = words[1:]
    kept: list[str] = []
    skips = False
    for word in words:
        if set(word) <= set("<>"):
            skips = True
            if kept and kept[-1] == "2":  # "2> errors"
                kept.pop()
        elif skips:
            skips = False
        else:
            kept.append(word)
    return kept
