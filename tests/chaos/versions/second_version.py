"""The second version of a workflow of the workload: the first one's text with another state and another variable."""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_second_version"]

FIRST_START = """@state(start=True, next=["quote"])
async def enlist(voyage: Voyage, ctx: Context) -> None:
    with record_run(ctx, voyage):
        await StoreClock().sleep(0.1)
"""
SECOND_START = """@state(start=True, next=["measure"])
async def enlist(voyage: Voyage, ctx: Context) -> Next:
    with record_run(ctx, voyage):
        await StoreClock().sleep(0.1)
    return measure.after("100ms")
"""
"""The new state is due later, in the common queue: executors of the first version claim it too, and leave it."""
REPLACEMENTS = {
    "    number: int\n": "    number: int\n    length: int = 0\n",
    'Workflow("Voyage", ': 'Workflow("Voyage", version=2, ',
    FIRST_START: SECOND_START,
}
ANOTHER_STATE = """
@state(next=["quote"])
async def measure(voyage: Voyage, ctx: Context) -> None:
    with record_run(ctx, voyage):
        voyage.length = 7 * voyage.number + 1
"""


def write_second_version(first: Path, folder: Path) -> str:
    """Write the module of the second version into a folder, and return its path."""
    text = first.read_text(encoding="utf-8")
    for former, new in REPLACEMENTS.items():
        assert text.count(former) == 1, f"{first} has {former!r} {text.count(former)} times"
        text = text.replace(former, new)
    folder.mkdir(exist_ok=True)
    path = folder / first.name
    path.write_text(text + ANOTHER_STATE, encoding="utf-8")
    return str(path)
