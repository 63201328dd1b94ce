"""What lies in a folder and cannot be read is an error that names it; what can be reached is read, once."""

import os
import zipfile
from pathlib import Path

import pytest
from support import scans
from support.dicom_cases import COUNT, SCAN, assert_refused, assert_told, write
from support.scans import PATIENT, assert_same_volume
from whs_fast.errors import InputError
from whs_fast.reading.scan import read


def lower_half_apart(folder: Path) -> Path:
    """A series whose lower half lies in a folder of its own, `more`, beside the folder of the upper one."""
    study = write(SCAN, folder / "study")
    (folder / "more").mkdir()
    for path in sorted(study.iterdir())[: COUNT // 2]:
        path.rename(folder / "more" / path.name)
    return study


def without_permission(monkeypatch: pytest.MonkeyPatch, *closed: Path) -> None:
    """Let paths be without permission; root, who runs tests in containers, may read everything."""
    scandir, opened = os.scandir, Path.open

    def refuse(path: object) -> None:
        if not isinstance(path, int) and Path(path) in closed:
            raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", lambda path: refuse(path) or scandir(path))
    monkeypatch.setattr("pathlib.Path.open", lambda path, *how, **more: refuse(path) or opened(path, *how, **more))


def test_a_subfolder_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = lower_half_apart(tmp_path)
    (tmp_path / "more").rename(study / "more")
    without_permission(monkeypatch, study / "more")
    assert_refused(study, r"cannot read more \(permission denied\): slices of the scan could be missing")


def test_a_slice_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = write(SCAN, tmp_path / "study")
    without_permission(monkeypatch, study / "1_0007")
    assert_refused(study, r"cannot read 1_0007 \(permission denied\)")


def test_slices_that_were_never_fetched_are_named(tmp_path: Path) -> None:
    study = lower_half_apart(tmp_path)
    for path in (tmp_path / "more").iterdir():
        (study / path.name).symlink_to(f".git/annex/objects/{path.name}")
    assert_refused(study, r"cannot read 6 files or folders, 1_0000 \(a link that leads nowhere\) the first of them")


def test_a_link_that_leads_to_itself_is_named(tmp_path: Path) -> None:
    study = write(SCAN, tmp_path / "study")
    (study / "1_0012").symlink_to("1_0012")
    assert_refused(study, r"cannot read 1_0012 \(too many levels of symbolic links\)")


def test_links_in_a_zip_are_no_files(tmp_path: Path) -> None:
    study = lower_half_apart(tmp_path)
    path = scans.zip_folder(study, tmp_path / "study.zip")
    with zipfile.ZipFile(path, "a") as archive:
        for slice_path in (tmp_path / "more").iterdir():
            link = zipfile.ZipInfo(slice_path.name)
            link.external_attr = 0o120777 << 16
            archive.writestr(link, "../objects/somewhere")
    assert_refused(path, "holds 6 links in place of files: slices of the scan could be missing")


@pytest.mark.parametrize("absolute", (True, False))
def test_a_linked_subfolder_is_read(absolute: bool, tmp_path: Path) -> None:
    study = lower_half_apart(tmp_path)
    (study / "more").symlink_to(tmp_path / "more" if absolute else "../more", target_is_directory=True)
    found = read(study)
    assert_same_volume(found, SCAN)
    assert found.notes == ()


def test_linked_slices_are_read(tmp_path: Path) -> None:
    study = lower_half_apart(tmp_path)
    for path in (tmp_path / "more").iterdir():
        (study / path.name).symlink_to(path)
    assert_same_volume(read(study), SCAN)


def test_circles_of_links_are_walked_once(tmp_path: Path) -> None:
    study = lower_half_apart(tmp_path)
    (study / "more").symlink_to(tmp_path / "more", target_is_directory=True)
    (study / "again").symlink_to(tmp_path / "more", target_is_directory=True)
    (study / "self").symlink_to(".", target_is_directory=True)
    (tmp_path / "more" / "back").symlink_to(study, target_is_directory=True)
    found = read(study)
    assert_same_volume(found, SCAN)
    assert found.notes == ()  # no slice was met twice


def test_what_is_no_image_by_its_name_may_be_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = write(SCAN, tmp_path / "study")
    for name in ("Thumbs.db", "autorun.inf"):
        (study / name).write_bytes(b"data")
    (study / "viewer.pdf").symlink_to("nowhere")
    (study / "lost+found").mkdir()
    without_permission(monkeypatch, study / "Thumbs.db", study / "autorun.inf", study / "lost+found")
    found = read(study)
    assert_same_volume(found, SCAN)
    assert sorted(note.split(" could not be read")[0] for note in found.notes) == [
        "Thumbs.db",
        "autorun.inf",
        "lost+found",
        "viewer.pdf",
    ]


@pytest.mark.parametrize("name", ("LOCKFILE", "VERSION", "index", "series.xyz"))
def test_what_is_named_unlike_the_slices_may_be_closed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write(SCAN, tmp_path / "study")
    (study / name).write_bytes(b"data")
    without_permission(monkeypatch, study / name)
    found = read(study)
    assert_same_volume(found, SCAN)
    assert_told(found, rf"{name} could not be read \(permission denied\); by its name it is no image")


def test_where_slices_are_named_at_random_any_file_may_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = write(SCAN, tmp_path / "study")
    for number, path in enumerate(sorted(study.iterdir())):
        path.rename(study / "ABCDEFGHIJKL"[number])
    without_permission(monkeypatch, study / "L")
    assert_refused(study, r"cannot read L \(permission denied\)")


def test_pipes_are_passed_over(tmp_path: Path) -> None:
    study = write(SCAN, tmp_path / "study")
    os.mkfifo(study / "pipe")
    (study / "link").symlink_to("pipe")
    found = read(study)
    assert_same_volume(found, SCAN)
    assert_told(found)


def test_names_of_files_are_told_without_the_patients(tmp_path: Path) -> None:
    study = write(SCAN, tmp_path / "study")
    for name in (f"{PATIENT}_0001.dcm", "doe jane/id4711-19440101/IM0001"):
        path = study / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to("nowhere")
        with pytest.raises(InputError) as caught:
            read(study)
        message = str(caught.value).removeprefix(str(study)).lower()
        assert "0001" in message and "..." in message
        assert not any(word in message for word in ("doe", "jane", "4711", "1944"))
        path.unlink()
