"""A linear time axis on which long intervals without events are shortened."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from flowlet.web.console.times import format_milliseconds

__all__ = ["Axis", "Tick", "build_axis"]

MAX_CUTS = 2
_CUT_RATIO = 4
"""An interval is shortened if it is this many times as long as all others together, and fills 4/5 of the width."""
_MIN_LABEL_GAP_PERCENT = 19.0
"""The minimum distance between labels, in percent: they do not touch on a phone."""
_MAX_TICKS = 20
_STEPS_MICROSECONDS = (
    *(size * unit for unit in (1_000, 10_000, 100_000) for size in (1, 2, 5)),
    *(1_000_000 * seconds for seconds in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800)),
    *(3_600_000_000 * hours for hours in (1, 2, 3, 6, 12, 24, 48, 120, 240, 480, 1200, 2400, 4800, 12_000, 24_000)),
)
"""The possible distances between ticks, in microseconds: round numbers."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A label on the axis, at a share of its width in percent."""

    percent: float
    label: str


@dataclass(frozen=True, slots=True)
class Axis:
    """The positions of times on the axis.

    Attributes:
        moments: Times in microseconds, ascending.
        positions: The position of each, in percent of the width.
        cuts: The centers of the shortened intervals, each labelled with its duration.
        ticks: Labels of the time since the first moment; with a plus, since the end of the preceding cut.
    """

    moments: tuple[int, ...]
    positions: tuple[float, ...]
    cuts: tuple[Tick, ...]
    ticks: tuple[Tick, ...]

    def to_percent(self, moment: int) -> float:
        """Return the position of a time, in percent of the width; a time beyond an end is at that end."""
        return _interpolate_percent(moment, self.moments, self.positions)


def build_axis(moments: Sequence[int]) -> Axis:
    """Return the axis for the times at which something begins or ends.

    An interval between two of them that is more than four times as long as all others together is shortened. The
    shortened intervals take half of the width.

    Args:
        moments: In microseconds, ascending; at least one.
    """
    lengths = [after - before for before, after in pairwise(moments)]
    cut = _find_cuts(lengths)
    rest = sum(length for place, length in enumerate(lengths) if place not in cut)
    drawn = [rest / len(cut) if place in cut else float(length) for place, length in enumerate(lengths)]
    whole = sum(drawn) or 1.0
    places = tuple(100 * length / whole for length in accumulate(drawn, initial=0.0))
    cuts = tuple(
        Tick((places[place] + places[place + 1]) / 2, format_milliseconds(lengths[place] / 1000) or "0 ms")
        for place in sorted(cut)
    )
    ticks = tuple(_build_ticks(moments, places, cut, cuts, whole))
    return Axis(tuple(moments), places, cuts, ticks)


def _find_cuts(lengths: Sequence[int]) -> set[int]:
    """Return the indexes of the intervals to shorten."""
    cut: set[int] = set()
    for _ in range(MAX_CUTS):
        left = sorted((length, place) for place, length in enumerate(lengths) if place not in cut)
        rest = sum(length for length, _ in left[:-1])
        if not rest or rest * _CUT_RATIO >= left[-1][0]:
            break
        cut.add(left[-1][1])
    return cut


def _build_ticks(
    moments: Sequence[int], places: Sequence[float], cut: set[int], cuts: Sequence[Tick], total_length: float
) -> Iterator[Tick]:
    step = next(
        (step for step in _STEPS_MICROSECONDS if 100 * step / total_length >= _MIN_LABEL_GAP_PERCENT),
        _STEPS_MICROSECONDS[-1],
    )
    taken = [0.0, *(tick.percent for tick in cuts)]
    if all(cut.percent >= _MIN_LABEL_GAP_PERCENT for cut in cuts):
        yield Tick(0.0, "0")
    origin, sign = moments[0], ""
    for place, (before, after) in enumerate(pairwise(moments)):
        if place in cut:
            origin, sign = after, "+"
            continue
        first = max(-(-(before - origin) // step), 1)
        for number in range(first, min((after - origin) // step, first + _MAX_TICKS) + 1):
            share = _interpolate_percent(origin + number * step, moments, places)
            if all(abs(share - other) >= _MIN_LABEL_GAP_PERCENT for other in taken):
                taken.append(share)
                yield Tick(share, f"{sign}{format_milliseconds(number * step / 1000)}")


def _interpolate_percent(moment: int, moments: Sequence[int], places: Sequence[float]) -> float:
    after = bisect_left(moments, moment)
    if after == 0:
        return 0.0
    if after == len(moments):
        return 100.0
    share = (moment - moments[after - 1]) / (moments[after] - moments[after - 1])
    return places[after - 1] + (places[after] - places[after - 1]) * share
