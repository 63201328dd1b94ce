"""Folders that shall not last are gone at the end of their process, however it ends, and only then."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from support import scans
from support.dicom_cases import SCAN, write
from whs_fast.errors import OutputError
from whs_fast.temporary import sweep_temporary, temporary_folder
from whs_fast.writing.result_folder import written_aside

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the system has no such locks")

HOLD = """
import sys
from pathlib import Path
from whs_fast.temporary import temporary_folder
with temporary_folder("scan.zip") as folder:
    (folder / "slice").write_text("a patient's")
    print(folder, flush=True)
    sys.stdin.read()
"""
UNPACK = """
import sys
from pathlib import Path
from whs_fast.reading.dicom.opening import unpacked
with unpacked(Path(sys.argv[1]), "scan") as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""
WRITE = """
import sys
from pathlib import Path
from whs_fast.writing.result_folder import written_aside
with written_aside(Path(sys.argv[1]), overwrite=True) as aside:
    (aside / "labels.nii.gz").write_text("half")
    print(aside, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A folder for temporary files, of this process and of those that it starts."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    monkeypatch.setenv("TMPDIR", str(place))
    return place


@contextmanager
def running(program, *arguments):
    """A process that waits in the middle of its work."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout.readline()
            yield process
        finally:
            process.kill()


def kill(process):
    process.kill()
    assert process.wait() == -signal.SIGKILL


def test_a_folder_is_for_its_user_alone_and_goes_with_its_block(place):
    with temporary_folder("scan.zip") as folder:
        assert list(folder.iterdir()) == []
        assert folder.is_relative_to(place) and folder.parent.stat().st_mode & 0o077 == 0
        (folder / "file").write_text("content")
    assert list(place.iterdir()) == []


def test_what_a_killed_process_left_goes_and_what_a_living_one_uses_stays(place):
    with running(HOLD) as dead, running(HOLD) as living:
        kill(dead)
        left = set(place.iterdir())
        assert len(left) == 2
        with temporary_folder("scan.zip") as folder:
            assert set(place.iterdir()) - {folder.parent} < left
            assert [path.read_text() for path in place.rglob("slice")] == ["a patient's"]
        kept = set(place.iterdir())
        assert len(kept) == 1
        assert living.communicate()[0] == "" and living.returncode == 0
    assert list(place.iterdir()) == []


def test_nothing_that_is_not_ours_is_removed(place):
    strange = place / "whs_fast_of_somebody_else"
    for folder in (strange, place / "whs_fast_link_target"):
        folder.mkdir()
        (folder / "file").write_text("mine")
    (place / "elsewhere" / "files" / "deep").mkdir(parents=True)
    (place / "elsewhere" / "lock").write_text("")
    (place / "whs_fast_link").symlink_to(place / "elsewhere")
    (place / "whs_fast_file").write_text("mine")
    before = sorted(place.rglob("*"))
    sweep_temporary()
    assert sorted(place.rglob("*")) == before


def test_a_folder_without_a_lock_yet_is_not_taken_away(place, monkeypatch):
    """Another process sweeps between the making of a folder and its lock."""
    import fcntl

    flock = fcntl.flock

    def sweep_first(file, operation):
        monkeypatch.setattr("fcntl.flock", flock)
        sweep_temporary()
        flock(file, operation)

    monkeypatch.setattr("fcntl.flock", sweep_first)
    with temporary_folder("scan.zip") as folder:
        sweep_temporary()
        assert folder.is_dir()


@pytest.mark.parametrize("held", [(), ("new",), ("file",), ("new", "files")])
@pytest.mark.parametrize("hours", [23, 25])
def test_a_folder_that_was_never_locked_goes_after_a_day_if_it_holds_nothing(place, held, hours):
    folder = place / "whs_fast_0123456789abcdef"
    folder.mkdir()
    for name in held:
        (folder / name).touch()
    changed = time.time() - 3600 * hours
    os.utime(folder, (changed, changed))
    sweep_temporary()
    assert folder.exists() == (hours == 23 or "file" in held or "files" in held)


def test_unpacked_slices_of_a_killed_process_go_at_the_next_start(place, tmp_path):
    zipped = scans.zip_folder(write(SCAN, tmp_path / "Doe^Jane"), tmp_path / "Doe^Jane.zip")
    with running(UNPACK, zipped) as process:
        kill(process)
    names = [path.name for path in place.rglob("*")]
    assert len(names) > len(SCAN.array)
    assert not any("Doe" in name or "Jane" in name for name in names)
    sweep_temporary()
    assert list(place.iterdir()) == []


def test_an_interrupt_while_a_folder_is_removed_leaves_nothing(place):
    program = """
import shutil
from whs_fast.temporary import temporary_folder
rmtree = shutil.rmtree
def interrupted(*arguments, **options):
    shutil.rmtree = rmtree
    raise KeyboardInterrupt
with temporary_folder("scan.zip") as folder:
    (folder / "slice").write_text("a patient's")
    shutil.rmtree = interrupted
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "KeyboardInterrupt" in done.stderr
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("exists", [False, True])
def test_half_written_results_of_a_killed_process_go_when_its_place_is_written_again(tmp_path, exists):
    folder = tmp_path / "results" / "Doe^Jane"
    if exists:
        folder.mkdir(parents=True)
    with running(WRITE, folder) as dead, running(WRITE, folder) as living:
        kill(dead)
        with written_aside(folder, overwrite=True) as aside:
            (aside / "measurements.json").write_text("whole")
        assert len(list(tmp_path.rglob("*half*"))) == 0
        assert [path.read_text() for path in tmp_path.rglob("labels.nii.gz")] == ["half"]  # of the living
        living.communicate()
        assert living.returncode == 0
    assert {path.relative_to(folder.parent).as_posix() for path in folder.parent.rglob("*")} == {
        "Doe^Jane",
        "Doe^Jane/labels.nii.gz",
    }


def test_no_place_for_temporary_files_is_an_output_error(place, monkeypatch):
    place.rmdir()
    with (
        pytest.raises(OutputError, match=r"^scan\.zip: needs a temporary folder, .*TMPDIR"),
        temporary_folder("scan.zip"),
    ):
        pass
