"""What the tests of this folder share: servers that lose nothing, and a clean run that is made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.chaos.director import Plan, run_chaos
from tests.chaos.scratch import CleanRun

CLEAN_PLAN = Plan(seed=1, fault_count=0, workflow_count=24, creates_per_second=30, lease_seconds=5)


@pytest.fixture(scope="session")
def clean_run(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> CleanRun:
    """A run that ended well, for the tests that break copies of it."""
    folder = tmp_path_factory.mktemp("clean-run")
    url = f"sqlite:///{shutil.copy(migrated_file, folder / 'flowlet.db')}"
    return CleanRun(folder, run_chaos(url, folder, CLEAN_PLAN))
