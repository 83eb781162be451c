"""The documentation: its code runs, its pictures are the product's, its links lead somewhere."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from flowlet.app import Flowlet
from flowlet.definition.registry import Registry
from flowlet.diagram.svg import render_svg
from flowlet.testing import Harness
from tests.docs.pages import ROOT, CodeBlock, list_pages, read_block_text, read_blocks, read_table_rows

TUTORIAL_PAGE = "docs/tutorial/first-workflow.md"
HOW_TO_PAGES = sorted(page.name for page in (ROOT / "docs/how-to").glob("*.md") if page.name != "test-a-workflow.md")
PICTURES = {"order": "README.md", "article": TUTORIAL_PAGE}
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, from which modules can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


async def test_the_workflow_of_the_readme_runs_to_each_of_its_ends(folder: Path) -> None:
    (folder / "order.py").write_text(read_block_text("README.md", "order.py"))

    async with Harness("order") as flow:
        cheap = await flow.start("OrderWorkflow", vars={"item": "a pen", "price": 3})
        dear = await flow.start("OrderWorkflow", vars={"item": "a desk", "price": 3000})
        await flow.answer(dear, "charge", username="lead")
        forgotten = await flow.start("OrderWorkflow", vars={"item": "a chair", "price": 3000})
        ended = [await flow.run_to_end(id) for id in (cheap, dear, forgotten)]

    assert [instance.state for instance in ended] == ["shipped", "shipped", "rejected"]


@pytest.mark.parametrize("name", HOW_TO_PAGES)
def test_the_modules_of_a_how_to_can_be_loaded(name: str, folder: Path) -> None:
    files = [block for block in read_blocks(f"docs/how-to/{name}") if block.language == "python" and block.title]
    for block in files:
        (folder / block.title).parent.mkdir(exist_ok=True)
        (folder / block.title).write_text(block.text)

    apps = [_import_app(block) for block in files if "Flowlet([" in block.text]
    loaded = [app.registry.names for app in apps if isinstance(app, Flowlet)]
    if not apps:
        registry = Registry()
        registry.load_all([_name_module(block) for block in files if "start=True" in block.text])
        loaded.append(registry.names)

    assert sum(map(len, loaded)) == sum("start=True" in block.text for block in files)


async def test_a_handlers_own_writes_are_made_once(folder: Path) -> None:
    (folder / "stock.py").write_text(read_block_text("docs/how-to/write-in-the-same-transaction.md", "stock.py"))

    async with Harness("stock") as flow:
        async with flow.store.connections.transaction() as session:
            await session.execute("CREATE TABLE stock (item text, amount integer)")
            await session.execute("INSERT INTO stock VALUES ('typewriter', 3)")
        sold = await flow.run_to_end(await flow.start("StockWorkflow", vars={"item": "typewriter", "amount": 2}))
        too_many = await flow.run_to_end(await flow.start("StockWorkflow", vars={"item": "typewriter", "amount": 2}))
        left = await flow.store.connections.read(lambda session: session.fetch_rows("SELECT amount FROM stock"))

    assert (sold.succeeded, too_many.succeeded, left) == (True, False, [(1,)])


async def test_the_children_of_the_how_to_arrive(folder: Path) -> None:
    for title in ("box.py", "delivery.py"):
        (folder / title).write_text(read_block_text("docs/how-to/children.md", title))

    async with Harness(["delivery", "box"]) as flow:
        ended = await flow.run_to_end(await flow.start("DeliveryWorkflow", vars={"boxes": 3}))

    assert ended.succeeded


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_what_the_product_draws(name: str, folder: Path) -> None:
    (folder / f"{name}.py").write_text(read_block_text(PICTURES[name], f"{name}.py"))
    definition = Registry().load(f"{name}.py")

    drawn = render_svg(definition, standalone=True).rstrip("\n") + "\n"

    kept = (ROOT / f"docs/images/{name}.svg").read_text(encoding="utf-8")
    assert kept == drawn, (
        f"docs/images/{name}.svg is out of date. Write {name}.py of {PICTURES[name]} into a file, and run: "
        f"flowlet diagram {definition.name} --format svg -m {name}.py > docs/images/{name}.svg"
    )


@pytest.mark.parametrize("page", list_pages(), ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))

    missing = [target for target in targets if not (page.parent / target).exists()]

    assert not missing


def test_the_log_lines_of_the_operators_page_are_logged() -> None:
    modules = [*sorted((ROOT / "flowlet/engine").rglob("*.py")), ROOT / "flowlet/shutdown.py"]
    source = "\n".join(path.read_text(encoding="utf-8") for path in modules)
    lines = [names[0] for names, _ in read_table_rows("docs/how-to/operate.md", "Log lines of an executor")]

    parts = [part.strip() for line in lines for part in line.split("...")]

    assert lines
    assert not [part for part in parts if part not in source]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_nobody_is_told_to_install_the_other_project() -> None:
    pattern = re.compile(r"pip install (?:\S+ )*flowlet(?![-\w/])")

    assert not [page.name for page in list_pages() if pattern.search(page.read_text(encoding="utf-8"))]


def _import_app(block: CodeBlock) -> object:
    return importlib.import_module(_name_module(block)).app


def _name_module(block: CodeBlock) -> str:
    return block.title.removesuffix(".py").replace("/", ".")
