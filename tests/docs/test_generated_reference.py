"""The reference pages that are generated from docstrings: they are up to date, and leave nothing out."""

from __future__ import annotations

import pytest

from tests.docs.pages import ROOT
from tools.reference import PAGES, Docstring, render_pages


def test_the_generated_pages_are_up_to_date() -> None:
    outdated = [
        name
        for name, text in render_pages().items()
        if (ROOT / "docs/reference" / name).read_text(encoding="utf-8") != text
    ]

    assert not outdated, f"docs/reference/{outdated[0]} is out of date. Run: make reference"


def test_what_has_no_description_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Docstring, "list_entries", lambda *_: {})

    for name in PAGES:
        with monkeypatch.context() as patched:
            patched.setattr("tools.reference.PAGES", {name: PAGES[name]})
            if name != "settings-object.md":  # its descriptions are those of the fields themselves
                with pytest.raises(ValueError, match="has no description"):
                    render_pages()
