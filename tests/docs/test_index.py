"""The index: it lists every page of the documentation, and the README links to it."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT, list_pages

INDEX = ROOT / "docs/index.md"
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


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


def _read_table_lines() -> list[str]:
    return [line for line in INDEX.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
