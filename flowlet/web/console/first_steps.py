"""The commands that start a first workflow, as the dashboard of a new installation prints them."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from flowlet.database_url import get_sqlite_path, mask_password
from flowlet.definition.registry import Registry

__all__ = ["FirstSteps", "build_first_steps"]


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """Commands that work in any folder of the server's machine.

    Attributes:
        terminal: Starts a workflow on the command line.
        key: Creates an API key, and sets a variable to it.
        http: Starts a workflow over HTTP with that key.
        needs_database: Whether the first two find the database only where FLOWLET_DATABASE_URL is set: its URL has a
            secret, which no page shows.
    """

    terminal: str
    key: str
    http: str
    needs_database: bool


def build_first_steps(registry: Registry, *, database_url: str, url: str, username: str) -> FirstSteps:
    """Return the commands.

    Args:
        registry: The loaded workflows. A workflow that needs no variables is preferred.
        database_url: The server's database.
        url: The server's own URL.
        username: Who owns the API key.
    """
    name = next((each for each in registry.names if _can_start_empty(registry, each)), None)
    name = name or next(iter(registry.names), "MyWorkflow")
    file = Path(registry.get_definition(name).file if name in registry.names else "my_workflows.py")
    module = str(file.absolute() if file.is_file() else file)
    body = json.dumps({"workflowType": name, "externalId": "my-first"}, ensure_ascii=False)
    has_secret = mask_password(database_url) != database_url
    database = "" if has_secret else f" --database {shlex.quote(_make_absolute(database_url))}"
    return FirstSteps(
        terminal=f"flowlet start {shlex.quote(name)} -m {shlex.quote(module)}{database}",
        key=f"KEY=$(flowlet key add first --user {shlex.quote(username)} --role operator{database})",
        http=f'curl -H "X-API-Key: $KEY" {url}/api/workflows --json {shlex.quote(body)}',
        needs_database=has_secret,
    )


def _can_start_empty(registry: Registry, name: str) -> bool:
    model = registry.get_definition(name).vars
    return model is None or not any(field.is_required() for field in model.model_fields.values())


def _make_absolute(database_url: str) -> str:
    """Return a database URL that names the same database in every folder."""
    if not database_url.startswith("sqlite:"):
        return database_url
    return f"sqlite:///{quote(str(get_sqlite_path(database_url).absolute()))}"
