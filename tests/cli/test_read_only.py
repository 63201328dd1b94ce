"""A system that cannot be written, but for one folder, as `docker run --read-only --volume` makes it."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from support.dicom_cases import write
from support.phantom import make_models, make_phantom
from support.programs import need_own_mounts
from support.scans import write_scan, zip_folder
from support.streams import without_progress
from whs_fast.engine import Engine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts as Linux has them")

# The folder gets a mount of its own; those that hold anything else that is written to then become read-only.
READ_ONLY = """
mount --bind "$1" "$1"
for place in / /tmp /var/tmp /dev/shm "$2" "$HOME"; do
    ! mountpoint -q "$place" || mount -o remount,bind,ro "$place" || exit 99
done
shift 2
exec "$@"
"""
PROGRAM = """
import sys, tempfile
from pathlib import Path
from whs_fast import engine
from whs_fast.cli import main
models = Path(sys.argv.pop(1))
engine.models_folder = lambda: models
try:
    tempfile.gettempdir()
except FileNotFoundError:
    sys.exit(main())
sys.exit(98)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Models, the phantom as NIfTI, DICOM and zip, and the one folder that stays writable."""
    place = tmp_path_factory.mktemp("read_only")
    make_models(place)
    phantom = make_phantom()
    write_scan(phantom, place / "scan.nii.gz")
    zip_folder(write(phantom, place / "series"), place / "series.zip")
    (place / "writable").mkdir()
    return place


@pytest.fixture(scope="module")
def run(place):
    """Runs the command line where nothing else can be written."""
    apart = need_own_mounts()

    def run(*arguments, **variables):
        shell = ["sh", "-c", READ_ONLY, "sh", place / "writable", tempfile.gettempdir()]
        command = [*apart, *shell, sys.executable, "-c", PROGRAM, place, *arguments]
        environment = os.environ | {"HOME": str(Path.home())} | variables
        environment.pop("WHS_FAST_CACHE", None)
        done = subprocess.run(command, capture_output=True, text=True, cwd=place, env=environment, check=False)
        return done.returncode, without_progress(done.stderr)

    return run


@pytest.mark.parametrize(
    ("source", "formats", "folder"),
    [("scan.nii.gz", "nifti,stl", "writable/new/nifti"), ("series", "nifti,dicom-seg", "writable")],
)
def test_a_scan_is_segmented(run, place, source, formats, folder):
    assert run("run", source, "-o", folder, "--formats", formats) == (0, "")
    found = sitk.GetArrayFromImage(sitk.ReadImage(place / folder / "labels.nii.gz"))
    np.testing.assert_array_equal(found, Engine(models=place).run(place / source).labels)


def test_a_zip_needs_a_temporary_folder_and_says_so(run, place):
    status, told = run("run", "series.zip", "-o", "writable/zip")
    assert status == 3 and told.count("\n") == 1
    assert told.startswith("whs-fast: series.zip: needs a temporary folder") and "TMPDIR" in told
    assert not (place / "writable" / "zip").exists()


def test_what_cannot_hold_the_results_is_named(run, place):
    told = run("run", "scan.nii.gz", "-o", place / "elsewhere")
    assert told == (3, f"whs-fast: {place}: no permission to write in this folder\n")
