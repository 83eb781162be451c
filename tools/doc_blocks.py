"""Write the Python of the documentation into files, for mypy.

    python tools/doc_blocks.py          writes build/doc_blocks

A block with a title is a module of its page. One without is the body of a coroutine, after the names of NAMES that its
page takes as known. Pages have modules of the same names, so that each page is a package, and imports are rewritten.
"""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "doc_blocks"
PACKAGE = "build.doc_blocks"

sys.path.insert(0, str(ROOT))
from tests.docs.pages import CodeBlock, list_pages, read_blocks  # noqa: E402 - the script is run by its path

NAMES = {
    "README": "key = ''",
    "at-least-once": "import httpx\nfrom flowlet import Context\nhttp: httpx.AsyncClient\nctx: Context",
    "deploy-and-upgrade": "from pydantic import BaseModel\nfrom flowlet import state\nclass Order(BaseModel): ...",
    "embed": "import httpx\nimport starlette.applications\nfrom flowlet import Flowlet\napp: Flowlet\nflow: Flowlet\n"
    "application: starlette.applications.Starlette",
    "limit-concurrency-and-rates": "from flowlet import Flowlet\napp: Flowlet",
    "provide-resources": "from typing import NewType\nimport httpx\nfrom flowlet import Flowlet\napp: Flowlet",
    "receive-messages": "import fastapi\nfrom pydantic import BaseModel\n"
    "from flowlet import Flowlet, NotFoundError, RefusedError\nfrom flowlet.testing import Harness\n"
    "app: Flowlet\nroutes: fastapi.FastAPI\nclass Order(BaseModel):\n    amount: int\n"
    "class Payment(BaseModel):\n    amount: int\n"
    "class Event(BaseModel):\n    id: str\n    order_id: str\n    amount: int",
    "retry-and-fail": "from flowlet import state\nasync def is_ready(order: object) -> bool:\n    return True\n"
    "order: object\n@state(next=[])\nasync def check() -> None: ...\n@state(next=[])\nasync def ship() -> None: ...",
    "schedule-workflows": "from flowlet import Flowlet, Schedule\napp: Flowlet",
    "states": "from flowlet import manual",
    "use-an-orm": "import asyncio\nimport sqlalchemy\nfrom sqlalchemy.orm import Session\n"
    "from flowlet import Context, Flowlet\napp: Flowlet\nctx: Context\nsession: Session\n"
    "loop: asyncio.AbstractEventLoop\nentries: sqlalchemy.Table",
    "use-the-client": "from flowlet import Flowlet\nfrom flowlet.client import Client\napp: Flowlet\nclient: Client\n"
    "key = ''",
    "wait-for-people": "from pydantic import BaseModel\nfrom flowlet import Workflow, manual\n"
    "class Expense(BaseModel): ...",
    "write-in-the-same-transaction": "import databases\nfrom flowlet import Flowlet\napp: Flowlet\n"
    "database: databases.Database",
}
"""What the blocks without a title take as known, by the page."""


def write_blocks(folder: Path) -> int:
    """Write every Python block of the pages, and return how many there are."""
    shutil.rmtree(folder, ignore_errors=True)
    count = 0
    for page in list_pages():
        blocks = [block for block in read_blocks(page) if block.language == "python"]
        modules = {block.title.removesuffix(".py").replace("/", ".") for block in blocks if block.title}
        package = page.stem.replace("-", "_").lower()
        for number, block in enumerate(blocks):
            path = folder / package / _find_path(folder / package, block, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            text = block.text if block.title else _wrap_fragment(block.text, NAMES.get(page.stem, ""))
            path.write_text(_rewrite_imports(text, modules, f"{PACKAGE}.{package}"), encoding="utf-8")
        count += len(blocks)
    return count


def _find_path(folder: Path, block: CodeBlock, number: int) -> str:
    """Return the file of a block: that of its title, unless an earlier version of the file has it."""
    is_first = bool(block.title) and not (folder / block.title).exists()
    return block.title if is_first else f"block_{number}.py"


def _wrap_fragment(text: str, names: str) -> str:
    returned = "object" if re.search(r"^return\b", text, re.MULTILINE) else "None"
    body = textwrap.indent(text, "    ")
    return f"{names}\n\n\nasync def run_block() -> {returned}:\n{body}"


def _rewrite_imports(text: str, modules: set[str], package: str) -> str:
    """Let imports of the page's own modules lead to its package."""
    for module in modules:
        name = re.escape(module)
        text = re.sub(rf"^(\s*)from {name} import", rf"\1from {package}.{module} import", text, flags=re.MULTILINE)
        if "." not in module:
            text = re.sub(rf"^(\s*)import {name}$", rf"\1from {package} import {module}", text, flags=re.MULTILINE)
    return text


if __name__ == "__main__":
    write_blocks(FOLDER)
