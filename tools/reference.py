"""Write the reference pages of Python objects from their docstrings and signatures.

    python tools/reference.py           writes docs/reference/{instances,operations,settings-object,testing}.md

A member without a docstring, and an argument or a field without a description, is an error: the pages have no gaps.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from flowlet import Instance, Operations, Settings
from flowlet.clock import format_duration
from flowlet.instance.action import Action, ActionKind
from flowlet.instance.instance import Status
from flowlet.operations.messages import MessageOperations
from flowlet.operations.people.decision_operations import DecisionOperations
from flowlet.operations.people.teams import TeamOperations
from flowlet.operations.requested_state import StateOperations
from flowlet.operations.schedules import ScheduleOperations
from flowlet.operations.views.saved_views import ViewOperations
from flowlet.testing import Harness, VirtualClock

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
HEADER = "<!-- Generated from docstrings by `make reference`. Edit those, not this page. -->"
WIDTH = 120
PLAIN_ARGUMENTS = {"id": "The instance.", "instance": "The instance as the caller has read it."}
"""Arguments whose names say what they are."""

_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields|Source):$", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}(\w+): (.+(?:\n {5,}.+)*)", re.MULTILINE)
_SHARED_ARGUMENT = re.compile(r"^- ``(\w+)``(?:, of some)?: (.+(?:\n {2}.+)*)", re.MULTILINE)


class Subject(NamedTuple):
    """A class of a page.

    Attributes:
        title: The heading, in the words of a program.
        owner: The class.
        methods: Only these; all of the class if there are none.
    """

    title: str
    owner: type
    methods: tuple[str, ...] = ()


class Docstring:
    """A docstring in Google form.

    Attributes:
        text: What comes before the sections.
        sections: The entries of each section: a name and a description.
    """

    def __init__(self, owner: object, place: str) -> None:
        if not (text := inspect.getdoc(owner)):
            raise ValueError(f"{place} has no docstring. Write one.")
        head, *rest = _SECTION.split(text)
        self.text = head.strip()
        self.sections = {name: dict(_ENTRY.findall(body)) for name, body in zip(rest[::2], rest[1::2], strict=True)}
        self.shared_arguments = dict(_SHARED_ARGUMENT.findall(head))

    def list_entries(self, section: str) -> dict[str, str]:
        """Return the entries of a section; empty without one."""
        return self.sections.get(section, {})


PAGES: dict[str, tuple[str, str, tuple[Subject, ...]]] = {
    "testing.md": (
        "Testing",
        "Import these from `flowlet.testing`. [Test a workflow](../how-to/test-a-workflow.md) shows how to use them.",
        (Subject("Harness", Harness), Subject("VirtualClock", VirtualClock)),
    ),
    "operations.md": (
        "Operations",
        "`app.operations` of a running `Flowlet`, or `Operations(store, registry)`, imported from `flowlet`: what "
        "people and programs may do with instances. [Operate](../how-to/operate.md) has examples.",
        (
            Subject("Operations", Operations),
            Subject("operations.enter_state", StateOperations, ("enter_state",)),
            Subject("operations.send, operations.list_unread", MessageOperations, ("send", "list_unread")),
            Subject("operations.decisions", DecisionOperations, ("assign",)),
            Subject("operations.schedules", ScheduleOperations),
            Subject("operations.teams", TeamOperations),
            Subject("operations.views", ViewOperations),
        ),
    ),
    "instances.md": (
        "Instances and histories",
        "What operations, `Harness` and `ctx.workflow` return; import the names from `flowlet`. The client has "
        "[results of its own](client.md#results).",
        (
            Subject("Instance", Instance),
            Subject("Status", Status),
            Subject("Action", Action),
            Subject("ActionKind", ActionKind),
        ),
    ),
    "settings-object.md": (
        "Settings in Python",
        "`Settings()`, imported from `flowlet`, reads the environment; `Settings(slots=8)` takes precedence over it. "
        "[Settings](settings.md) has the variables and their bounds.",
        (Subject("Settings", Settings),),
    ),
}
"""The pages: a title, what to know first, and their classes."""


def render_pages() -> dict[str, str]:
    """Return the text of each page by its file's name."""
    return {name: _render_page(*page) for name, page in PAGES.items()}


def _render_page(title: str, introduction: str, subjects: tuple[Subject, ...]) -> str:
    parts = [HEADER, f"# {title}", _wrap(introduction)]
    for subject in subjects:
        parts += _render_subject(subject)
    return "\n\n".join(parts) + "\n"


def _render_subject(subject: Subject) -> Iterator[str]:
    owner, docstring = subject.owner, Docstring(subject.owner, subject.owner.__name__)
    yield "## " + ", ".join(f"`{name}`" for name in subject.title.split(", "))
    if not subject.methods:
        yield _render_text(docstring.text)
    if issubclass(owner, enum.Enum):
        yield _render_table(("Member", ""), [(f"`{one.name}`", _find_member_text(owner, one.name)) for one in owner])
        return
    if not subject.methods and (fields := _list_fields(owner, docstring)):
        yield _render_table(("Field", "Type", "Default", ""), fields)
    elif owner in (Harness, Operations, VirtualClock):
        yield from _render_arguments(owner.__init__, docstring, owner.__name__)
        yield from _render_raises(docstring)
    if not subject.methods and (properties := list(_list_properties(owner))):
        yield _render_table(("Attribute", "Type", ""), properties)
    for name, method in _list_methods(owner):
        if name in (subject.methods or (name,)):
            yield from _render_method(name, method, docstring)


def _render_method(name: str, method: Callable[..., Any], owner: Docstring) -> Iterator[str]:
    docstring = Docstring(method, name)
    docstring.shared_arguments = {**PLAIN_ARGUMENTS, **owner.shared_arguments, **owner.list_entries("Args")}
    prefix = "await " if inspect.iscoroutinefunction(inspect.unwrap(method)) else ""
    returned = inspect.signature(method).return_annotation
    yield f"### `{prefix}{name}({_list_positional(method)})`"
    yield _render_text(docstring.text)
    yield from _render_arguments(method, docstring, name)
    if returned not in ("None", inspect.Signature.empty):
        yield f"Returns `{returned}`."
    yield from _render_raises(docstring)


def _list_positional(function: Callable[..., Any]) -> str:
    """Return the arguments that may be given by position; three dots stand for those that are given by name."""
    parameters = [one for one in inspect.signature(function).parameters.values() if one.name != "self"]
    names = [one.name for one in parameters if one.kind is not one.KEYWORD_ONLY]
    return ", ".join([*names, "..."] if len(names) < len(parameters) else names)


def _render_arguments(function: Callable[..., Any], docstring: Docstring, place: str) -> Iterator[str]:
    described = {**docstring.shared_arguments, **docstring.list_entries("Args")}
    rows = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "self":
            continue
        if parameter.name not in described:
            raise ValueError(f"{place}: the argument {parameter.name!r} has no description. Write it under 'Args:'.")
        default = "" if parameter.default is parameter.empty else _render_default(parameter.default)
        rows.append((f"`{parameter.name}`", f"`{parameter.annotation}`", default, described[parameter.name]))
    if rows:
        yield _render_table(("Argument", "Type", "Default", ""), rows)


def _render_raises(docstring: Docstring) -> Iterator[str]:
    if entries := docstring.list_entries("Raises"):
        yield _render_table(("Raises", ""), [(f"`{name}`", text) for name, text in entries.items()])


def _list_fields(owner: type, docstring: Docstring) -> list[tuple[str, ...]]:
    if issubclass(owner, BaseModel):
        return [(f"`{name}`", *_describe_setting(name)) for name in Settings.model_fields]
    if not dataclasses.is_dataclass(owner):
        return []
    described = docstring.list_entries("Attributes")
    rows = []
    for field in dataclasses.fields(owner):
        text = described.get(field.name) or _describe_time(owner, field.name)
        default = "" if field.default is dataclasses.MISSING else _render_default(field.default)
        rows.append((f"`{field.name}`", f"`{field.type}`", default, text))
    return rows


def _describe_time(owner: type, name: str) -> str:
    """Return the description of a field of microseconds, which is that of the property of the same time."""
    shown = name.removesuffix("_us")
    if shown == name or not isinstance(getattr(owner, shown, None), property):
        raise ValueError(f"{owner.__name__}: the field {name!r} has no description. Write it under 'Attributes:'.")
    return f"`{shown}` in microseconds"


def _describe_setting(name: str) -> tuple[str, str, str]:
    field = Settings.model_fields[name]
    default = "the host's name and the process id" if field.default_factory else _render_default(field.default)
    return f"`{_name_type(field.annotation)}`", default, field.description or ""


def _name_type(hint: Any) -> str:
    text = hint.__name__ if isinstance(hint, type) and not hasattr(hint, "__origin__") else str(hint)
    text = re.sub(r"typing\.Annotated\[(\w+), [^\[\]]*(?:\([^()]*\))?[^\[\]]*\]", r"\1", text)
    text = re.sub(r"\b(?:typing|datetime|pydantic\.types)\.", "", text)
    return re.sub(r"^Optional\[(.+)\]$", r"\1 | None", text)


def _list_properties(owner: type) -> Iterator[tuple[str, ...]]:
    described = Docstring(owner, owner.__name__).list_entries("Attributes")
    if not dataclasses.is_dataclass(owner):
        yield from ((f"`{name}`", "", text) for name, text in described.items())
    for name, value in inspect.getmembers(owner, lambda one: isinstance(one, property)):
        if not name.startswith("_") and value.fget.__module__.startswith("flowlet."):
            returned = inspect.signature(value.fget).return_annotation
            yield f"`{name}`", f"`{returned}`", Docstring(value, f"{owner.__name__}.{name}").text


def _list_methods(owner: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    for parent in owner.__mro__:
        if parent.__module__.startswith("flowlet."):
            for name, value in vars(parent).items():
                if inspect.isfunction(value) and not name.startswith("_"):
                    yield name, value


def _find_member_text(owner: type[enum.Enum], name: str) -> str:
    """Return the docstring below a member; Python keeps none."""
    found = re.search(rf'^    {name} = [^\n]+\n    """([^"]+)"""', inspect.getsource(owner), re.MULTILINE)
    if not found:
        raise ValueError(f"{owner.__name__}.{name} has no description. Write a docstring below it.")
    return found[1]


def _render_table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join("| " + " | ".join(map(_render_cell, line)) + " |" for line in lines).replace("| --- ", "|---")


def _render_default(value: object) -> str:
    if isinstance(value, timedelta):
        return f"`'{format_duration(value)}'`"
    return f"`{value}`" if isinstance(value, datetime) else f"`{value!r}`"


def _render_cell(text: str) -> str:
    return " ".join(text.replace("``", "`").split()).replace("|", "\\|").removesuffix(".")


def _render_text(text: str) -> str:
    """Return a docstring's text: its paragraphs wrapped anew, its lists as they are."""
    blocks = text.replace("``", "`").split("\n\n")
    return "\n\n".join(block if block.startswith("- ") else _wrap(block) for block in blocks)


def _wrap(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False)


def main() -> None:
    """Write the pages."""
    for name, text in render_pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
