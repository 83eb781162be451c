"""The benchmarks can be run: nothing else imports them."""

from __future__ import annotations

import subprocess
import sys

from tests.house.source import ROOT

BENCHMARKS = ROOT / "benchmarks"


def test_every_benchmark_can_be_imported() -> None:
    modules = sorted(path.stem for path in BENCHMARKS.glob("*.py"))
    assert "claims" in modules

    imported = subprocess.run(
        [sys.executable, "-c", f"import {', '.join(modules)}"],
        env={"PYTHONPATH": f"{BENCHMARKS}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert imported.stderr == ""
