"""Reading starts as many threads as it is told to and no more; the caller's own thread is the first."""

import threading
from pathlib import Path

import numpy as np
import pytest
from support import scans
from support.dicom_cases import PHASES, SCAN, in_percent, write, write_phases
from whs_fast import Engine
from whs_fast.errors import InputError
from whs_fast.reading.scan import list_series, open_phases, read


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """The threads that are started while a test runs."""
    threads: list[threading.Thread] = []
    start = threading.Thread.start

    def noted(thread: threading.Thread) -> None:
        threads.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", noted)
    return threads


def native_threads() -> set[str]:
    return {path.name for path in Path("/proc/self/task").iterdir()} if Path("/proc/self/task").exists() else set()


def test_one_thread_reads_alone(tmp_path: Path, started: list[threading.Thread]) -> None:
    folder = write_phases(tmp_path / "series", in_percent)
    zipped = scans.zip_folder(folder, tmp_path / "series.zip")
    before = native_threads()
    assert list_series(folder, threads=1)[0].slices == sum(len(volume.array) for volume in PHASES)
    with open_phases(zipped, threads=1) as phases:
        scans.assert_same_volume(read(phases[1], threads=1), PHASES[1])
    scans.assert_same_volume(read(zipped, phase=35, threads=1), PHASES[1])
    assert (started, native_threads() - before) == ([], set())


def test_an_engine_of_one_thread_starts_no_other(tmp_path: Path, started: list[threading.Thread]) -> None:
    Engine(threads=1).run(write(SCAN, tmp_path / "series"))
    assert started == []


def test_any_number_of_threads_reads_the_same(tmp_path: Path, started: list[threading.Thread]) -> None:
    folder = write(SCAN, tmp_path / "series")
    alone = read(folder, threads=1)
    assert started == []
    together = read(folder, threads=3)
    assert 1 <= len(started) <= 2 * 3  # headers, then voxels
    np.testing.assert_array_equal(together.array, alone.array)


def test_less_than_one_thread_is_refused(tmp_path: Path) -> None:
    folder = write(SCAN, tmp_path / "series")
    for use in (read, list_series):
        with pytest.raises(InputError, match="threads: needs 1 or more, not 0"):
            use(folder, threads=0)
    with pytest.raises(InputError, match="threads: needs 1 or more, not -1"), open_phases(folder, threads=-1):
        pass
