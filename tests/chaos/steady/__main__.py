"""Run a steady load on one process, and check that it does not use more and more.

.venv/bin/python -m tests.chaos.steady --minutes 60
.venv/bin/python -m tests.chaos.steady --minutes 2 --database postgresql --seed 7
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from random import Random

from tests.chaos.soak import PROGRAMS, open_database
from tests.chaos.steady.resource_use import MEGABYTE, find_growth
from tests.chaos.steady.steady_run import SteadyPlan, SteadyResult, run_steady_load

DATABASES = (*PROGRAMS, "sqlite")
MAX_WARM_UP_SECONDS = 120.0
MAX_MEMORY_GROWTH = 10.0 * MEGABYTE
"""An hour without a leak grows by 3 MB: caches, and what the allocator keeps."""
MAX_PAGE_CACHE = 64.0 * MEGABYTE
"""On SQLite the process itself keeps so many pages of the database at most, for each connection."""


def main() -> int:
    """Run the load on each database that was chosen, and return the exit code."""
    options = parse_options()
    is_clean = True
    for name in options.database or DATABASES:
        seed = options.seed if options.seed is not None else Random().getrandbits(32)
        print(f"== {name}, {options.minutes:g} minutes, seed {seed}", flush=True)
        folder = Path(tempfile.mkdtemp(prefix="flowlet-steady-"))
        seconds = 60 * options.minutes
        plan = SteadyPlan(seed, min(MAX_WARM_UP_SECONDS, seconds / 3), seconds, samples=max(60, int(seconds) // 10))
        with open_database(name, folder) as (url, _):
            result = run_steady_load(url, folder, plan)
        cached = min((folder / "flowlet.db").stat().st_size, MAX_PAGE_CACHE) if name == "sqlite" else 0.0
        found = [*result.problems, *find_growth(result.use, max_memory_growth=MAX_MEMORY_GROWTH + cached)]
        print_result(result)
        print(f"{len(found)} findings; the log is in {folder}" if found else "nothing has grown", *found, sep="\n")
        if found:
            is_clean = False
        else:
            shutil.rmtree(folder)
    return 0 if is_clean else 1


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="steady", description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=60, help="how long the load lasts on each database")
    parser.add_argument("--seed", type=int, help="what a former run has printed; a new one by default")
    parser.add_argument("--database", action="append", choices=DATABASES, help="may be repeated; all by default")
    return parser.parse_args()


def print_result(result: SteadyResult) -> None:
    """Print what a process did and used."""
    print(", ".join(f"{number:,} {what}" for what, number in sorted(result.counts.items())))
    use = result.use
    print(f"at rest before: {use.rest_before}")
    for sample in use.under_load[:: max(1, len(use.under_load) // 10)]:
        print(f"{sample.seconds:8.0f} s: {sample}")
    print(f"at rest after: {use.rest_after}")
    print(f"memory in the last two thirds of the load: {use.memory_growth / MEGABYTE:+.1f} MB", flush=True)


if __name__ == "__main__":
    sys.exit(main())
