"""Times the steps of a run and reports how far it has come."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, float], None]

# What share of a run each step usually takes: most is the network, the more so the slower the processor.
_SHARES = {"read": 0.07, "localise": 0.07, "segment": 0.60, "clean": 0.04, "measure": 0.13, "write": 0.09}

# No name of a file and nothing from its header is ever logged: both can hold a patient's name.
_log = logging.getLogger(__name__)


class Clock:
    """Seconds by step, and progress as a share of the whole run.

    timings_s are those of steps that are done already; progress is called with the step's name and the share of the
    whole that is done, as each step begins and as it moves on. What it raises ends the run.
    """

    def __init__(self, timings_s: Mapping[str, float], progress: Progress | None = None) -> None:
        self._seconds = dict.fromkeys(_SHARES, 0.0) | {name: timings_s[name] for name in timings_s if name in _SHARES}
        self._before = timings_s.get("total", 0.0)
        self._start = time.perf_counter()
        self._progress = progress

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[float], None]]:
        """Times the block as one step; gives a function that reports which share of the step is done."""
        names = list(_SHARES)
        before = sum(_SHARES[earlier] for earlier in names[: names.index(name)])

        def report(share: float) -> None:
            if self._progress is not None:
                self._progress(name, round(before + share * _SHARES[name], 3))

        report(0.0)
        start = time.perf_counter()
        yield report
        seconds = time.perf_counter() - start
        self._seconds[name] += seconds
        _log.info("%s: %.2f s", name, seconds)

    def timings_s(self) -> dict[str, float]:
        """Seconds of each step and in total, so far."""
        total = self._before + time.perf_counter() - self._start
        return {name: round(seconds, 3) for name, seconds in (self._seconds | {"total": total}).items()}
