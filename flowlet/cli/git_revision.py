"""The definitions of a workflow module as a revision of its git repository has them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from flowlet.cli.loading import load_optional_registry
from flowlet.definition.loader import is_path
from flowlet.errors import FlowletError
from flowlet.instance.json_text import parse_json, write_json
from flowlet.settings import Settings

__all__ = ["print_documents", "read_documents_at"]

_PROGRAM = "import sys; from flowlet.cli.git_revision import print_documents; print_documents(sys.argv[1])"
MARKER = "flowlet-documents:"
"""What the line with the documents begins with: a module may print while it is imported."""


def read_documents_at(revision: str, spec: str) -> dict[str, dict[str, Any]]:
    """Return the documents of the definitions that a module has at a revision, by name.

    The files of the revision are extracted into a temporary folder, and a process of its own imports the module there:
    nothing of the working tree or of this process is touched.

    Args:
        revision: A revision of git, as "main" or "HEAD~1".
        spec: An import name, a path or an application, as seen from the working directory.

    Raises:
        click.UsageError: If the working directory is not in a git repository, or there is no such revision.
        FlowletError: If the module cannot be loaded as it is there.
    """
    here = Path.cwd().resolve()
    file = Path(spec).resolve() if is_path(spec) else None
    top = Path(_run_git(file.parent if file else here, "rev-parse", "--show-toplevel")).resolve()
    commit = f"{revision}^{{commit}}"
    commit = _run_git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", commit, missing=revision)
    start = here if file is None or here.is_relative_to(top) else file.parent
    with TemporaryDirectory(prefix="flowlet-diff-") as folder:
        # An index of its own: the repository's index and work tree stay as they are.
        index, tree = Path(folder) / "index", Path(folder) / "tree"
        _run_git(top, "read-tree", commit, index=index)
        _run_git(top, "checkout-index", "--all", f"--prefix={tree}/", index=index)
        moved = os.path.relpath(file, start) if file else spec
        return _load_documents(tree / start.relative_to(top), moved, revision)


def print_documents(spec: str) -> None:
    """Print the documents of a module's definitions as one line of JSON."""
    documents = [definition.to_json() for definition in load_optional_registry((spec,), Settings()).definitions]
    sys.stdout.write(f"\n{MARKER}{write_json(documents)}\n")


def _load_documents(place: Path, spec: str, revision: str) -> dict[str, dict[str, Any]]:
    if not place.is_dir():
        raise FlowletError(f"{spec!r} cannot be loaded at {revision}: its folder did not exist then.")
    run = subprocess.run(  # noqa: S603 - no shell, and the program is Python itself
        [sys.executable, "-c", _PROGRAM, spec], cwd=place, capture_output=True, check=False, text=True
    )
    lines = [line for line in run.stdout.splitlines() if line.startswith(MARKER)]
    if run.returncode or not lines:
        reason = run.stderr.strip().splitlines() or ["it ended without a message"]
        raise FlowletError(f"{spec!r} cannot be loaded at {revision}: {reason[-1]}")
    return {document["name"]: document for document in parse_json(lines[-1].removeprefix(MARKER))}


def _run_git(folder: Path, *arguments: str, index: Path | None = None, missing: str = "") -> str:
    """Return what git prints in a folder, without the last line end."""
    environment = os.environ | ({"GIT_INDEX_FILE": str(index)} if index else {})
    command = ["git", "-C", str(folder), *arguments]
    try:
        run = subprocess.run(command, capture_output=True, check=False, text=True, env=environment)  # noqa: S603 - no shell
    except FileNotFoundError:
        raise click.UsageError("There is no program 'git'. Compare with a stored version: --against NUMBER.") from None
    if run.returncode == 0:
        return run.stdout.rstrip("\n")
    if missing:
        raise click.UsageError(
            f"--against {missing!r} is neither the number of a stored version nor a revision of this git repository."
        )
    reason = run.stderr.strip().splitlines() or ["git failed"]
    raise click.UsageError(f"{reason[-1]}. Compare with a stored version instead: --against NUMBER.")
