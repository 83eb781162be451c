"""The folders that Flowlet ships: templates, static files and the demo."""

from __future__ import annotations

from pathlib import Path

__all__ = ["find_folder"]

_PACKAGE = Path(__file__).resolve().parent.parent
_FOLDER_NAMES = ("templates", "static", "demo")


def find_folder(name: str, *, package: Path = _PACKAGE) -> Path:
    """Return a folder: the checkout's if Flowlet runs from a checkout, otherwise that of the installed package.

    Args:
        name: "templates", "static" or "demo".
        package: The path of the import package.

    Raises:
        ValueError: If ``name`` is not one of the three.
        FileNotFoundError: If the folder is in neither place; the message names both.
    """
    if name not in _FOLDER_NAMES:
        raise ValueError(f"there is no folder {name!r}. Folders: {', '.join(_FOLDER_NAMES)}.")
    bundled = package / "_bundled" / name
    places = [package.parent / name, bundled] if _is_checkout(package.parent) else [bundled]
    for place in places:
        if place.is_dir():
            return place
    tried = " nor at ".join(str(place) for place in places)
    raise FileNotFoundError(f"the folder {name!r} is not at {tried}. Reinstall flowlet-workflows.")


def _is_checkout(parent: Path) -> bool:
    """Return whether a folder is a checkout of this project, not a folder with another pyproject.toml."""
    project = parent / "pyproject.toml"
    return project.is_file() and 'name = "flowlet-workflows"' in project.read_text(encoding="utf-8")
