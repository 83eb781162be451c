"""The index lists every page of the documentation, and links with an anchor lead to a heading."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, list_pages

INDEX = ROOT / "docs/index.md"
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
ANCHOR = re.compile(r"\]\(([^)#:\s]*)#([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def test_the_index_lists_every_page() -> None:
    pages = {page.resolve() for page in list_pages()} - {INDEX}

    listed = {(INDEX.parent / target).resolve() for target in LINK.findall(INDEX.read_text(encoding="utf-8"))}

    missing = sorted(str(page.relative_to(ROOT)) for page in pages - listed)
    assert not missing, f"docs/index.md does not list: {', '.join(missing)}"


def test_the_index_lists_no_page_twice() -> None:
    targets = LINK.findall("\n".join(_read_table_lines()))

    assert sorted(targets) == sorted(set(targets))


def test_the_readme_links_to_the_index() -> None:
    assert "(docs/index.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", list_pages(), ids=lambda page: page.name)
def test_every_anchor_leads_to_a_heading(page: Path) -> None:
    anchors = ANCHOR.findall(page.read_text(encoding="utf-8"))

    missing = [
        f"{target}#{anchor}"
        for target, anchor in anchors
        if anchor not in _list_anchors(page.parent / target if target else page)
    ]

    assert not missing


def _list_anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings: lower case, hyphens for spaces, no punctuation."""
    headings = HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _read_table_lines() -> list[str]:
    return [line for line in INDEX.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
