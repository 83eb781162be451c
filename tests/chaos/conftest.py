"""What the tests of this folder share: servers that lose nothing, and a clean run that is made once."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.director import Plan, run_chaos
from tests.chaos.machine.disk import open_small_disk
from tests.chaos.machine.network import open_network
from tests.chaos.scratch import CleanRun

CLEAN_PLAN = Plan(seed=1, fault_count=0, workflow_count=24, creates_per_second=8, lease_seconds=5, forks_executors=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of what this machine does not permit. They are not skipped: nothing is missing."""
    left_out = {
        marker
        for marker, means in (("needs_network", open_network()), ("needs_disk", open_small_disk(megabytes=1)))
        if any(item.get_closest_marker(marker) for item in items) and not _is_permitted(means)
    }
    deselected = [item for item in items if any(item.get_closest_marker(marker) for marker in left_out)]
    if deselected:
        items[:] = [item for item in items if item not in deselected]
        config.hook.pytest_deselected(items=deselected)


def _is_permitted(means: AbstractContextManager[Any]) -> bool:
    try:
        with means:
            return True
    except pytest.skip.Exception:
        return False


@pytest.fixture(scope="session")
def clean_run(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> CleanRun:
    """A run that ended well, for the tests that break copies of it."""
    folder = tmp_path_factory.mktemp("clean-run")
    url = f"sqlite:///{shutil.copy(migrated_file, folder / 'flowlet.db')}"
    return CleanRun(folder, run_chaos(url, folder, CLEAN_PLAN))
