"""The faster inflater, where it is installed, gives what Python's own gives: the same voxels, the same refusals."""

import gzip
import zlib

import numpy as np
import pytest
from support import scans
from whs_fast.errors import InputError
from whs_fast.reading import voxels
from whs_fast.reading.scan import read

isal_zlib = pytest.importorskip("isal.isal_zlib")

SCAN = scans.make_scan()


@pytest.fixture(params=[zlib, isal_zlib], ids=["zlib", "isal"])
def inflater(request, monkeypatch):
    monkeypatch.setattr(voxels, "zlib", request.param)


def outcome(path):
    """The voxels, or what is said of the file."""
    try:
        return read(path).array.tobytes()
    except InputError as error:
        return str(error)


def outcomes(path, monkeypatch):
    found = []
    for module in (zlib, isal_zlib):
        monkeypatch.setattr(voxels, "zlib", module)
        found.append(outcome(path))
    return found


def test_isal_is_taken_where_it_is_installed():
    assert voxels.zlib is isal_zlib


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_intact_files_are_read(inflater, suffix, level, tmp_path):
    path = scans.write_scan(SCAN, tmp_path / f"scan{suffix}")
    if suffix == ".nii.gz":
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), level))
    np.testing.assert_array_equal(read(path).array, SCAN.array)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_cut_and_damaged_files_have_the_same_end(suffix, tmp_path, monkeypatch):
    path = scans.write_scan(SCAN, tmp_path / f"scan{suffix}")
    content = path.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for cut in (len(content) - 1, len(content) - 6, *random.integers(len(content) // 2, len(content), 12)):
        path.write_bytes(content[:cut])
        own, other = outcomes(path, monkeypatch)
        # Of a file that lacks no more than its end mark and checksum, isal may hold back the last voxel.
        assert own == other or (cut >= len(content) - 10 and "cut short" in other), cut
        refused += isinstance(own, str)
    for place in random.integers(len(content) // 2, len(content), 24):
        damaged = bytearray(content)
        damaged[place] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        own, other = outcomes(path, monkeypatch)
        assert own == other and "damaged" in own, place
    assert refused >= 12
