"""Texts and numbers on a diagram: their widths, their lines, and how figures are rounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlet.diagram.text_metrics import format_count, format_seconds, format_share, measure_text, wrap_text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (5_310, "5,310"), (9_999, "9,999"), (12_449, "12.4k"), (99_960, "100k"), (999_600, "1.0M")],
)
def test_large_counts_are_rounded(count: int, text: str) -> None:
    assert format_count(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *[(0, "0 ms"), (0.84, "840 ms"), (1, "1 s"), (12.44, "12.4 s"), (59.97, "1 min"), (190, "3.2 min")],
        *[(3_600, "1 h"), (18_360, "5.1 h"), (86_399, "1 d"), (300_000, "3.5 d")],
    ],
)
def test_times_are_told_in_their_largest_unit(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0 %"), (0.004, "<1 %"), (0.5, "50 %"), (0.996, ">99 %"), (1, "100 %")]
)
def test_a_rare_transition_is_not_called_none_and_a_usual_one_not_all(share: float, text: str) -> None:
    assert format_share(share) == text


def test_wide_letters_are_wider() -> None:
    assert measure_text("ill", 13) < measure_text("abc", 13) < measure_text("MWM", 13) < measure_text("注文確認", 13)
    assert measure_text("e\u0301", 13) == measure_text("e", 13)


@given(st.text(max_size=80), st.integers(20, 200))
def test_a_wrapped_text_is_the_text_in_lines_that_are_not_too_wide(text: str, width: int) -> None:
    lines = wrap_text(text, 13, width)

    assert "".join(lines) == text
    assert all(measure_text(line.rstrip(), 13) <= width for line in lines)


def test_a_text_is_wrapped_between_its_words() -> None:
    assert wrap_text("verify_identity_documents", 13, 130) == ("verify_identity_", "documents")
    assert wrap_text("ReserveStockInWarehouse", 13, 100) == ("ReserveStock", "InWarehouse")
    assert wrap_text("HTTPServerError", 13, 60) == ("HTTP", "Server", "Error")
