"""Without a place for temporary files: what needs none is read, and where one is needed the message says so."""

import tempfile
from pathlib import Path

import pytest
from support import scans
from support.dicom_cases import PHASES, SCAN, in_percent, tagged, write, write_enhanced, write_phases
from support.scans import assert_same_volume
from whs_fast.errors import OutputError
from whs_fast.reading.scan import list_series, open_phases, read

PLACES = ("none is there", "it is not there", "it is no folder")


def close(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Leave no place for temporary files, in ways that stop root too, who runs tests in containers."""
    if place == "none is there":

        def refuse() -> str:
            raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp', '/var/tmp', '/usr/tmp', '/']")

        monkeypatch.setattr(tempfile, "gettempdir", refuse)
    else:
        monkeypatch.setattr(tempfile, "tempdir", "/nonexistent" if place == "it is not there" else __file__)


@pytest.mark.parametrize("place", PLACES)
def test_folders_and_files_are_read(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(SCAN, tmp_path / "study")
    phases = write_phases(tmp_path / "phases", in_percent)
    several = write(
        SCAN, write(PHASES[1], tmp_path / "several", edit=tagged(SeriesDescription="CTA heart")), series="2"
    )
    file = scans.write_scan(SCAN, tmp_path / "scan.nii.gz")
    close(monkeypatch, place)
    assert_same_volume(read(folder), SCAN)
    assert_same_volume(read(file), SCAN)
    assert_same_volume(read(several), PHASES[1])
    assert len(list_series(folder)) == 1
    with open_phases(phases) as opened:
        assert_same_volume(read(opened[2]), PHASES[2])


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ("zip", "enhanced file"))
def test_the_message_names_what_is_missing(
    kind: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "zip":
        path = scans.zip_folder(write(SCAN, tmp_path / "study"), tmp_path / "study.zip")
    else:
        path = write_enhanced([SCAN], tmp_path / "scan.dcm")
    close(monkeypatch, place)
    with pytest.raises(OutputError) as caught:
        read(path)
    message = str(caught.value)
    assert "temporary" in message and "TMPDIR" in message and "\n" not in message
    assert "no such file or folder, expected" not in message
