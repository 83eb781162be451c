"""Two harnesses of different versions on one database: what one cannot run, the other one runs in virtual time."""

from __future__ import annotations

import pytest

from flowlet.errors import NotEndedError
from flowlet.instance.action import ActionKind
from flowlet.testing import Harness
from tests.engine.versions.versions_harness import MODULES


async def test_what_the_harness_of_one_version_cannot_run_ends_in_that_of_the_other(sqlite_url: str) -> None:
    old_module, new_module = (str(MODULES / f"{name}.py") for name in ("case_v1", "case_v2"))
    async with (
        Harness(new_module, database_url=sqlite_url) as new,
        Harness(old_module, database_url=sqlite_url, clock=new.clock) as old,
    ):
        id = await new.start("Case", settle=False)
        await new.operations.move(id, "examined", username="ada", force=True, reason="for the test")

        with pytest.raises(NotEndedError, match="waits for another version: Case version 1 has no state 'examined'"):
            await old.run_to_end(id, within="1 minute")
        ended = await new.run_to_end(id, within="1 minute")

        assert ended.succeeded
        kinds = [line.kind for line in await new.history(id)]
        assert kinds[2:] == [ActionKind.GATED, ActionKind.ERROR, ActionKind.TRANSITION]
