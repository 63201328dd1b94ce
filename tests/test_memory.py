"""The promise about memory: the benchmark scan of 512 x 512 x 400 in a hard 2 GiB, and 700 MB at the peak."""

import sys

import pytest
from whs_fast.cli.benchmarking import SHAPE, make_scan, run_cold
from whs_fast.errors import OutputError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and peak memory as Linux has them"),
]

LIMIT = 2 << 30  # the paper's machine
PEAK_MB = 700


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "scan.nii"
    make_scan(path)
    assert path.stat().st_size == 352 + 2 * SHAPE[0] * SHAPE[1] * SHAPE[2]
    yield path
    path.unlink()


def test_one_thread_inside_two_gibibytes(scan, tmp_path):
    measurements = run_cold(scan, tmp_path / "out", threads=1, limit=LIMIT)
    assert measurements["peak_memory_mb"] <= PEAK_MB
    assert all(structure["volume_ml"] > 0 for structure in measurements["structures"].values())


def test_the_limit_is_a_limit(scan, tmp_path):
    with pytest.raises(OutputError, match="memory limit 400 MiB"):
        run_cold(scan, tmp_path / "out", threads=1, limit=400 << 20)
    assert not (tmp_path / "out").exists()
