"""Names of files that are not UTF-8, and good ones where the locale is C: the toolkit would end the process.

Each case runs in a process of its own, for what is tested is that it does not die.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import scans
from support.dicom_cases import SCAN, write, write_enhanced

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have no such names")

LATIN = "Müller".encode("latin-1")
CP1252 = "“Sörén”".encode("cp1252")
UTF8 = "Müller_李".encode()
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def process(code: str, path: bytes, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable.encode(), b"-c", code.encode(), path],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
    )


def shape_of(path: bytes, **environment: str) -> str:
    code = "import sys; from whs_fast.reading.scan import read; print(read(sys.argv[1]).array.shape)"
    done = process(code, path, **environment)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.strip()


def rename(path: Path, name: bytes) -> bytes:
    target = os.path.join(os.fsencode(path.parent), name)  # noqa: PTH118 - pathlib takes no bytes
    os.rename(os.fsencode(path), target)  # noqa: PTH104
    return target


@pytest.mark.parametrize("name", (LATIN, CP1252, UTF8))
@pytest.mark.parametrize("environment", ({}, C_LOCALE))
def test_one_slice_among_many(name: bytes, environment: dict[str, str], tmp_path: Path) -> None:
    study = write(SCAN, tmp_path / "study")
    rename(study / "1_0003", name)
    assert shape_of(os.fsencode(study), **environment) == str(SCAN.array.shape)


@pytest.mark.parametrize("name", (LATIN, UTF8))
@pytest.mark.parametrize("environment", ({}, C_LOCALE))
def test_the_folder(name: bytes, environment: dict[str, str], tmp_path: Path) -> None:
    study = rename(write(SCAN, tmp_path / "study"), name)
    assert shape_of(study, **environment) == str(SCAN.array.shape)


@pytest.mark.parametrize("environment", ({}, C_LOCALE))
def test_an_enhanced_file_and_the_folder_of_temporary_ones(environment: dict[str, str], tmp_path: Path) -> None:
    space = rename(write(SCAN, tmp_path / "other"), LATIN)
    file = rename(write_enhanced([SCAN], tmp_path / "scan"), LATIN + b".dcm")
    assert shape_of(file, TMPDIR=os.fsdecode(space), **environment) == str(SCAN.array.shape)


@pytest.mark.parametrize("suffix", (".zip", ".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"))
@pytest.mark.parametrize("environment", ({}, C_LOCALE))
def test_single_files(suffix: str, environment: dict[str, str], tmp_path: Path) -> None:
    if suffix == ".zip":
        path = scans.zip_folder(write(SCAN, tmp_path / "study"), tmp_path / "study.zip")
    else:
        path = scans.write_scan(SCAN, tmp_path / f"scan{suffix}")
    assert shape_of(rename(path, LATIN + suffix.encode()), **environment) == str(SCAN.array.shape)


@pytest.mark.parametrize("environment", ({}, C_LOCALE))
def test_messages_can_be_shown(environment: dict[str, str], tmp_path: Path) -> None:
    study = write(SCAN, tmp_path / "study", edit=lambda index, image: None if index > 4 else image)
    done = process(
        "import sys; from whs_fast.cli import main; sys.exit(main(['series', sys.argv[1] + '.zip']))",
        rename(study, LATIN),
        **environment,
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done
