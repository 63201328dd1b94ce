"""Results appear whole or not at all."""

import errno
import os
import subprocess
import sys

import pytest
from whs_fast.errors import InputError, OutputError
from whs_fast.outputs import RESULT_NAMES
from whs_fast.writing.result_folder import check_folder, written_aside


def tree(folder):
    """Every file below a folder with its content, and every folder as None."""
    return {str(p.relative_to(folder)): p.read_text() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def write(folder, content, *, names=("labels.nii.gz", "measurements.json"), overwrite=False, fail=None):
    with written_aside(folder, overwrite=overwrite) as aside:
        for name in names:
            (aside / name).write_text(content)
        if fail is not None:
            raise fail


def test_a_new_folder_appears_with_its_parents(tmp_path):
    write(tmp_path / "a" / "b", "new")
    assert tree(tmp_path) == {"a": None, "a/b": None, "a/b/labels.nii.gz": "new", "a/b/measurements.json": "new"}
    assert (tmp_path / "a" / "b").stat().st_mode == (tmp_path / "a").stat().st_mode


def test_files_of_others_in_the_folder_stay(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    write(tmp_path, "new")
    assert tree(tmp_path) == {"labels.nii.gz": "new", "measurements.json": "new", "notes.txt": "mine"}


@pytest.mark.parametrize("name", RESULT_NAMES)
def test_earlier_results_are_refused_before_anything_is_written(tmp_path, name):
    (tmp_path / name).write_text("old")
    with pytest.raises(InputError, match="holds earlier results"):
        write(tmp_path, "new")
    assert tree(tmp_path) == {name: "old"}


def test_overwriting_replaces_all_results_also_those_not_written_again(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes" / "aorta.stl").write_text("old")
    write(tmp_path, "old", names=("labels.nii.gz", "labels.seg.nrrd", "measurements.json"), overwrite=True)
    write(tmp_path, "new", overwrite=True)
    assert tree(tmp_path) == {"labels.nii.gz": "new", "measurements.json": "new", "notes.txt": "mine"}


FAILURES = [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError("a fault of ours")]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
@pytest.mark.parametrize("state", ["absent", "parents absent", "empty", "results"])
def test_a_failure_leaves_everything_as_it_was(tmp_path, failure, state):
    folder = tmp_path / "a" / "b" if state == "parents absent" else tmp_path / "a"
    if state in ("empty", "results"):
        folder.mkdir()
    if state == "results":
        write(folder, "old")
    before = tree(tmp_path)
    expected = OutputError if isinstance(failure, OSError) else type(failure)
    with pytest.raises(expected):
        write(folder, "new", overwrite=True, fail=failure)
    assert tree(tmp_path) == before


def test_a_failure_while_moving_in_puts_the_earlier_results_back(tmp_path, monkeypatch):
    write(tmp_path, "old")
    (tmp_path / "preview.png").write_text("old")
    before = tree(tmp_path)
    rename = os.rename
    calls = []

    def failing(source, target):
        calls.append(target)
        if len(calls) == 5:  # three moved away, one moved in
            raise OSError(errno.EIO, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(OutputError, match="Input/output error"):
        write(tmp_path, "new", overwrite=True)
    assert len(calls) > 5
    assert tree(tmp_path) == before


KILLED = """
import os, sys
from pathlib import Path
from whs_fast.writing.result_folder import written_aside
rename, left = os.rename, int(sys.argv[2])

def counting(source, target):
    global left
    if Path(target).name != "lock":
        left -= 1
        if left < 0:
            os.kill(os.getpid(), 9)
    rename(source, target)

os.rename = counting
with written_aside(Path(sys.argv[1]), overwrite=True) as aside:
    for name in ("labels.nii.gz", "preview.png", "measurements.json"):
        (aside / name).write_text("new")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the system has no locks by which a folder is known as left")
@pytest.mark.parametrize("moves", range(6))
def test_killed_while_moving_in_all_results_are_the_earlier_ones_or_the_new_ones(tmp_path, moves):
    folder = tmp_path / "out"
    earlier = ("labels.nii.gz", "labels.seg.nrrd", "measurements.json")
    write(folder, "old", names=earlier)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(moves)])
    assert killed.returncode == -9
    with pytest.raises(InputError, match="holds earlier results"):
        check_folder(folder, overwrite=False)
    new = dict.fromkeys(("labels.nii.gz", "preview.png", "measurements.json"), "new")
    assert tree(folder) == (dict.fromkeys(earlier, "old") if moves < 3 else new)


def test_the_message_of_a_fault_names_the_users_folder(tmp_path):
    with pytest.raises(OutputError) as caught, written_aside(tmp_path / "out", overwrite=False) as aside:
        raise OutputError(f"{aside / 'labels.nii.gz'}: found no room, expected some")
    assert str(caught.value) == f"{tmp_path / 'out' / 'labels.nii.gz'}: found no room, expected some"


@pytest.mark.parametrize("below", ["", "sub"])
def test_a_file_in_the_way_is_an_output_error(tmp_path, below):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="is a file; the results need a folder"):
        check_folder(tmp_path / "file" / below, overwrite=True)
    assert tree(tmp_path) == {"file": "mine"}


def test_a_folder_without_permission_is_an_output_error(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # the superuser may write anywhere
    with pytest.raises(OutputError, match="no permission to write"):
        check_folder(tmp_path / "new", overwrite=False)
