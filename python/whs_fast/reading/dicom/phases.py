"""The phases of the heart beat in a series: telling them apart, naming them, and which is nearest to end-systole.

A series of several phases holds several images at each position. They are told apart by the first clue (see
`whs_fast.reading.dicom.clues`) that gives every phase one image a position. Delays in ms may differ from slice to slice
within a phase, for the heart does not beat evenly: they are cut at their widest jumps.

End-systole is taken to lie at 35 % of the R-R interval: coronary CT angiography is reconstructed at about 30 to 40 %
for it. Where a delay comes without the length of the beat, a beat of 900 ms (67 a minute) is assumed, and phases known
by their order alone are assumed to divide the beat evenly.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whs_fast.errors import InputError
from whs_fast.reading.dicom.clues import Clues
from whs_fast.reading.dicom.slice import Slice

END_SYSTOLE_PERCENT, ASSUMED_RR_MS = 35.0, 900.0
PERCENT_WITHIN, DELAY_WITHIN_MS = 5.0, 50.0
SAME_POSITION_MM = 0.01
_LEAST_SPAN = 0.8
_MOST_PHASES = 60
_KINDS: tuple[tuple[str, Callable[[Clues], float | None]], ...] = (
    ("percent", lambda clues: clues.percent),
    ("delay", lambda clues: clues.delay_ms),
    ("temporal", lambda clues: clues.temporal),
    ("acquisition", lambda clues: clues.acquisition),
    ("time", lambda clues: clues.time),
)
# Phases come out of one acquisition; what lies further apart in time is another one.
_MOST_APART_S = 10.0


@dataclass(frozen=True)
class Phase:
    """One phase: percent of the R-R interval and delay in ms after the R peak as far as told, place in the order."""

    percent: float | None = None
    delay_ms: float | None = None
    order: tuple[int, int] | None = None

    @property
    def label(self) -> str:
        """What `--phase` calls it: "35%", "310ms" or "4of10"."""
        if self.percent is not None:
            return f"{round(self.percent, 1):g}%"
        if self.delay_ms is not None:
            return f"{round(self.delay_ms, 1):g}ms"
        return "{}of{}".format(*self.order) if self.order else "not told"

    @property
    def folder(self) -> str:
        """The name of its folder of results: phase_35, phase_310ms, phase_4of10."""
        return f"phase_{self.label.removesuffix('%')}"

    @property
    def assumed_percent(self) -> float | None:
        """Percent of the R-R interval, assumed where it is not told."""
        if self.percent is not None or (self.delay_ms is None and self.order is None):
            return self.percent
        if self.delay_ms is not None:
            return 100.0 * self.delay_ms / ASSUMED_RR_MS
        return 100.0 * (self.order[0] - 1) / self.order[1] if self.order else None

    @property
    def from_end_systole(self) -> float:
        """Percent of the R-R interval between this phase and end-systole; 100 where nothing is known."""
        percent = self.assumed_percent
        return 100.0 if percent is None else abs(percent - END_SYSTOLE_PERCENT)


@dataclass(frozen=True)
class Wanted:
    """A phase that was asked for."""

    percent: float | None = None
    delay_ms: float | None = None
    order: tuple[int, int] | None = None

    def distance(self, phase: Phase) -> float:
        """How far a phase is from this one; infinite where it is too far to be meant."""
        if self.order is not None:
            return 0.0 if phase.order == self.order and phase.percent is None and phase.delay_ms is None else np.inf
        asked, found, within = self.delay_ms, phase.delay_ms, DELAY_WITHIN_MS
        if self.percent is not None:
            asked, found, within = self.percent, phase.percent, PERCENT_WITHIN
        if asked is None or found is None or abs(asked - found) > within:
            return np.inf
        return abs(asked - found)


def parse_phase(phase: float | str) -> Wanted:
    """What `--phase` may be: 30 or "30%" of the R-R interval, "310ms", "4of10".

    Raises InputError for anything else.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(%|ms)?|(\d+)of(\d+)", str(phase).strip())
    if found is not None and found[3]:
        return Wanted(order=(int(found[3]), int(found[4])))
    if found is not None and found[2] == "ms":
        return Wanted(delay_ms=float(found[1]))
    if found is not None and float(found[1]) <= 100.0:
        return Wanted(percent=float(found[1]))
    raise InputError(f"phase: found {str(phase)!r}, expected a percentage such as 30, or one such as 310ms or 4of10")


def split_phases(slices: Sequence[Slice]) -> list[tuple[Phase, list[Slice]]]:
    """The phases of the slices of one series, in order; one where no position repeats or nothing tells them apart."""
    if not all(image.placed for image in slices):
        return [(_name(slices), list(slices))]
    along = positions_along_normal(slices)
    places = np.cumsum(np.diff(np.sort(along), prepend=-np.inf) > SAME_POSITION_MM) - 1
    place = np.empty(len(slices), dtype=np.int64)
    place[np.argsort(along)] = places
    repeats = int(np.bincount(place).max())
    if repeats == 1:
        return [(_name(slices), list(slices))]
    ways: list[tuple[str, NDArray[np.int64]]] = []
    for kind, clue in _KINDS:
        values = [clue(image.clues) for image in slices]
        if all(value is not None for value in values):
            numbers = np.array(values, dtype=np.float64)
            exact = np.unique(numbers, return_inverse=True)[1].ravel()
            ways += [
                (kind, group)
                for group in (exact, _cut_at_jumps(numbers, repeats))
                if kind != "time" or _is_one_acquisition(numbers, group)
            ]
    for clean in (True, False):
        for kind, group in ways:
            if _divides(group, place, along, clean=clean):
                chosen = [
                    [slices[index] for index in np.flatnonzero(group == k).tolist()] for k in range(group.max() + 1)
                ]
                return [(_name(part, kind, (k + 1, len(chosen))), part) for k, part in enumerate(chosen)]
    return [(_name(slices), list(slices))]


def positions_along_normal(slices: Sequence[Slice]) -> NDArray[np.float64]:
    """Positions in mm along the normal of the first slice."""
    cosines = np.asarray(slices[0].cosines)
    return np.array([image.position for image in slices]) @ np.cross(cosines[:3], cosines[3:])


def _cut_at_jumps(values: NDArray[np.float64], groups: int) -> NDArray[np.int64]:
    """Groups of values between the widest jumps, numbered by value."""
    distinct = np.unique(values)
    cuts = np.sort(np.argsort(np.diff(distinct))[::-1][: groups - 1])
    return np.searchsorted(distinct[cuts], values, side="left")


def _is_one_acquisition(times: NDArray[np.float64], group: NDArray[np.int64]) -> bool:
    """Whether groups follow each other closely, by their median times, given as numbers HHMMSS."""
    seconds = times // 10000 * 3600 + times // 100 % 100 * 60 + times % 100
    medians = [np.median(seconds[group == k]) for k in range(int(group.max()) + 1)]
    return bool(np.diff(medians).max(initial=0.0) <= _MOST_APART_S)


def _divides(group: NDArray[np.int64], place: NDArray[np.int64], along: NDArray[np.float64], *, clean: bool) -> bool:
    """Whether groups are phases: several, most over the whole length, and if `clean` each with one image a position."""
    count = int(group.max()) + 1
    if not 2 <= count <= _MOST_PHASES:
        return False
    parts = [np.flatnonzero(group == k) for k in range(count)]
    whole = [len(part) > 1 and np.ptp(along[part]) >= _LEAST_SPAN * np.ptp(along) for part in parts]
    if sum(whole) < 2 or (not clean and not all(whole)):
        return False
    return not clean or all(len(np.unique(place[part])) == len(part) for part in parts)


def _name(slices: Sequence[Slice], kind: str = "", order: tuple[int, int] | None = None) -> Phase:
    """The phase of slices that show one: medians of what they say, the percentage from the delay where need be."""

    def median(clue: Callable[[Clues], float | None]) -> float | None:
        values = [value for image in slices if (value := clue(image.clues)) is not None]
        return float(np.median(values)) if len(values) == len(slices) else None

    percent, delay_ms = median(lambda clues: clues.percent), median(lambda clues: clues.delay_ms)
    rr_ms = median(lambda clues: clues.rr_ms)
    if kind not in ("", "percent"):
        percent = None  # the same for all phases, so it is none of theirs
    if kind not in ("", "percent", "delay"):
        delay_ms = None
    if percent is None and delay_ms is not None and rr_ms and delay_ms <= rr_ms:
        percent = float(round(100.0 * delay_ms / rr_ms))  # beats differ by more than its decimals
    return Phase(percent, delay_ms, order if kind in ("temporal", "acquisition", "time") else None)
