"""The promise about a scan of 512 x 512 x 400: its Segmentation takes 10 MB and, in the whole process, 1 GB."""

import json
import subprocess
import sys

import pytest
from support import scans
from whs_fast.cli.benchmarking import SHAPE, make_scan
from whs_fast.reading.scan import read

MOST_BYTES, PEAK_MB = 10e6, 1000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory as Linux has it"),
]


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scan")
    make_scan(folder / "scan.nii")
    scan = read(folder / "scan.nii")
    (folder / "scan.nii").unlink()
    assert scan.array.shape == SHAPE
    return scans.write_dicom(scan, folder / "series")


def test_a_large_scan(series, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "whs_fast", "run", series, "-o", out, "--formats", "nifti,dicom-seg"]
    subprocess.run([*command, "--threads", "2"], check=True, capture_output=True)
    measurements = json.loads((out / "measurements.json").read_text())
    assert measurements["peak_memory_mb"] <= PEAK_MB
    assert 100_000 < (out / "labels.dcm").stat().st_size < MOST_BYTES
