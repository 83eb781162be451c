"""Processes that are forked for tests."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.forked_process import ForkedProcess

THREADS = 8


def test_all_threads_that_ask_for_an_exit_code_get_the_same(tmp_path: Path) -> None:
    script = tmp_path / "wait.py"
    script.write_text("import signal\nsignal.pause()\n", encoding="utf-8")

    def poll_until_ended(process: ForkedProcess) -> int:
        while (code := process.poll()) is None:
            pass
        return code

    with ThreadPoolExecutor(THREADS) as threads:
        for _ in range(5):
            process = ForkedProcess([str(script)], env=os.environ, cwd=tmp_path, output=sys.stderr.fileno())
            polls = [threads.submit(poll_until_ended, process) for _ in range(THREADS)]
            process.kill()

            assert {poll.result(timeout=30) for poll in polls} == {-9}
