"""What the tests of wake-ups share."""

from __future__ import annotations

import pytest

from flowlet.store.dialects.mysql import signals as mysql_signals


@pytest.fixture(autouse=True)
def _settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let MariaDB's poll see each commit once: for some seconds it would wake the executors again and again."""
    monkeypatch.setattr(mysql_signals, "UNSETTLED_SECONDS", 0.0)
