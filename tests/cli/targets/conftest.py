"""A database with instances, and a server of it: both doors of a command."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner, Result

from flowlet.cli import main
from flowlet.testing import Harness

__all__ = ["Doors"]

REVIEWS_MODULE = '''
    """Review a text."""

    from pydantic import BaseModel
    from flowlet import Context, Limit, Rate, Retry, Schedule, Workflow, end, manual, receive, state

    class Text(BaseModel):
        words: int = 1
        note: str = ""

    class Comment(BaseModel):
        comment: str = ""

    workflow = Workflow("Reviews", vars=Text, retry=Retry(limit=0))

    @manual(start=True, next={"publish": "Accept", "await_news": "Wait"}, form=Comment)
    async def review(text: Text, comment: Comment) -> None:
        text.note = comment.comment

    @receive(messages={"news": Comment}, next=["publish"])
    async def await_news(text: Text) -> None: ...

    @state(next=["published"], limit=Limit(5), rate=Rate(100, "1 minute"))
    async def publish(text: Text) -> None:
        if not text.words:
            raise ValueError("there is nothing to publish")

    published = end("It can be read.")
'''


@dataclass(frozen=True, slots=True)
class Doors:
    """A database and the server of the same database, with the options that name each of them."""

    folder: Path
    database: tuple[str, ...]
    server: tuple[str, ...]

    def run(self, target: str, *arguments: str, typed: str | None = None) -> Result:
        """Run a command on the database or through the server."""
        words = [*arguments, *(self.database if target == "database" else self.server)]
        return CliRunner().invoke(main, words, input=typed, prog_name="flowlet", catch_exceptions=False)


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """A database in which a Harness has run one review to its end and one into a failure, and its server."""
    folder = tmp_path_factory.mktemp("doors")
    (folder / "reviews.py").write_text(dedent(REVIEWS_MODULE))
    url = f"sqlite:///{folder / 'flowlet.db'}"
    asyncio.run(run_reviews(folder / "reviews.py", url))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLOWLET_")}
    command = [sys.executable, "-m", "flowlet", "serve", "reviews.py", "--no-executor", "--port", "0"]
    environment |= {"FLOWLET_DATABASE_URL": url, "FLOWLET_ADMIN_PASSWORD": "correct horse"}
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        address = next(found[1] for line in server.stderr if (found := re.search(r"answers at (\S+)", line)))
        made = CliRunner().invoke(
            main, ["key", "add", "cli", "--user", "admin", "--role", "admin", "--database", url], catch_exceptions=False
        )
        yield Doors(folder, ("--database", url), ("--url", address, "--api-key", made.stdout.strip()))
        server.terminate()
        server.stderr.read()


async def run_reviews(module: Path, url: str) -> None:
    async with Harness([str(module)], database_url=url) as flow:
        for words in (3, 0):
            id = await flow.start("Reviews", {"words": words}, external_id=f"text-{words}")
            await flow.answer(id, "publish", form={"comment": "fine"})


@pytest.fixture(autouse=True)
def clean_environment(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting and no proxy in the environment; the module's folder is the current one."""
    for name in list(os.environ):
        if name.startswith("FLOWLET_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(doors.folder)
