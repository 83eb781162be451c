"""Take the screenshots of the console for the documentation, from a filled database.

make pictures
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser, async_playwright

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs/images"
WORKFLOW_MODULES = sorted(str(path) for path in (ROOT / "benchmarks/lives").glob("*.py"))
BROWSER_NAMES = ("chromium-headless-shell", "chromium", "google-chrome")
WORKFLOW_COUNT = "20000"
VIEWPORT_SIZE = 1440, 900
PASSWORD = secrets.token_urlsafe(12)
WAITING_SQL = "SELECT MAX(id) FROM flowlet_workflow WHERE status = 'WAITING' AND business_key <> external_id"


async def start_server(url: str) -> tuple[asyncio.subprocess.Process, str]:
    """Serve a database, and return the process and its address."""
    environment = os.environ | {"FLOWLET_DATABASE_URL": url, "FLOWLET_ADMIN_PASSWORD": PASSWORD}
    command = (sys.executable, "-m", "flowlet", "serve", *WORKFLOW_MODULES, "--port", "0")
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    while process.stdout and (line := (await process.stdout.readline()).decode()):
        if "answers at " in line:
            return process, line.partition("answers at ")[2].split()[0]
    raise RuntimeError("the server ended before it was ready")


async def take_screenshot(
    browser: Browser, address: str, path: str, name: str, theme: Literal["light", "dark"]
) -> None:
    """Take a screenshot of a page as an admin."""
    width, height = VIEWPORT_SIZE
    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce"
    )
    page = await context.new_page()
    await page.goto(f"{address}/login?next={path}")
    await page.get_by_label("Username").fill("admin")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await page.get_by_text("Live", exact=True).wait_for()
    await page.screenshot(path=IMAGES / f"{name}.png")
    await context.close()


async def main() -> None:
    """Fill a database, serve it, and take each screenshot."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "flowlet.db"
        fill = ROOT / "benchmarks/fill.py"
        filling = await asyncio.create_subprocess_exec(
            sys.executable, fill, f"sqlite:///{file}", "--workflows", WORKFLOW_COUNT, cwd=ROOT
        )
        await filling.wait()
        with sqlite3.connect(file) as connection:
            waiting = connection.execute(WAITING_SQL).fetchone()[0]
        process, address = await start_server(f"sqlite:///{file}")
        try:
            async with async_playwright() as playwright:
                chromium = next(filter(None, map(shutil.which, BROWSER_NAMES)), None)
                browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                await take_screenshot(browser, address, "/", "dashboard", "light")
                await take_screenshot(browser, address, f"/workflows/{waiting}", "workflow", "dark")
                await take_screenshot(browser, address, "/definitions/OrderFulfilment", "definition", "light")
                await browser.close()
        finally:
            process.terminate()
            await process.wait()


if __name__ == "__main__":
    asyncio.run(main())
