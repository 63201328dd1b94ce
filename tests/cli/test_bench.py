"""The bench command: its scan, its limits and its table; the whole benchmark runs in test_memory.py and by hand."""

import gzip
import json
import os

import numpy as np
import pytest
from support.phantom import make_models
from whs_fast import InputError
from whs_fast.cli import benchmarking, main
from whs_fast.cli.options import parse_size
from whs_fast.reading.scan import read


def test_the_scan_covers_the_sample_and_repeats_itself(tmp_path):
    grid = benchmarking.make_scan(tmp_path / "a.nii", shape=(85, 64, 96))
    benchmarking.make_scan(tmp_path / "b.nii", shape=(85, 64, 96))
    benchmarking.make_scan(tmp_path / "c.nii", shape=(85, 64, 96), seed=1)
    a, b, c = ((tmp_path / f"{name}.nii").read_bytes() for name in "abc")
    assert a == b
    assert a != c
    with benchmarking.resources.as_file(benchmarking.resources.files("whs_fast") / "data" / "sample.nii.gz") as file:
        sample = read(file)
    scan = read(tmp_path / "a.nii")
    assert np.allclose(scan.grid.box_mm, sample.grid.box_mm, atol=1e-3)
    assert np.allclose(scan.spacing_mm, grid.spacing_mm, atol=1e-5)
    inside = scan.array[scan.array > -900]
    assert abs(float(inside.mean()) - float(sample.array[sample.array > -900].mean())) < 5


@pytest.mark.parametrize(("text", "size"), [("2G", 2 << 30), ("700M", 700 << 20), ("1.5 GiB", 3 << 29), ("4096", 4096)])
def test_sizes(text, size):
    assert parse_size(text.replace(" ", ""), "size") == size


@pytest.mark.parametrize("text", ["", "G", "0", "-1G", "2T", "two"])
def test_no_sizes(text):
    with pytest.raises(InputError, match="memory limit"):
        parse_size(text, "memory limit")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("memory.max", "memory.swap.max"), {"memory.max": "1048576", "memory.swap.max": "0"}),
        (
            ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
            {"memory.limit_in_bytes": "1048576", "memory.memsw.limit_in_bytes": "1048576"},
        ),
    ],
)
def test_a_cgroup_gets_the_limit_and_no_swap(tmp_path, files, expected):
    for name in (*files, "cgroup.procs"):
        (tmp_path / name).touch()
    enter = benchmarking._into_group(tmp_path, 1 << 20)
    enter()
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == expected | {"cgroup.procs": str(os.getpid())}


@pytest.mark.parametrize("threads", ["", "0", "1,x", "2,-1"])
def test_bad_threads_are_refused(threads, capsys):
    assert main(["bench", "--threads", threads]) == 2
    assert "threads: found" in capsys.readouterr().err


def test_the_table_and_json_tell_what_was_met(monkeypatch, capsys):
    seconds = dict.fromkeys(benchmarking.STAGES, 1.0) | {"total": 6.0}
    slow, large = 99.0, 5000.0
    colds = {1: (5.0, 600.0), 2: (slow, large)}

    def make(path, *, shape, spacing_mm):
        path.touch()
        return benchmarking.Grid(shape, spacing_mm or (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))

    def cold(scan, folder, *, threads, limit):
        assert (scan.name, limit) == ("scan.nii", 2 << 30)
        process, peak = colds[threads]
        return {"timings_s": seconds | {"process": process}, "peak_memory_mb": peak}

    monkeypatch.setattr(benchmarking, "SHAPE", (10, 10, 10))
    monkeypatch.setattr(benchmarking, "make_scan", make)
    monkeypatch.setattr(benchmarking, "run_cold", cold)
    warm = {"timings_s": seconds, "gzip_s": {"in": 1.5, "out": 0.5}}
    monkeypatch.setattr(benchmarking, "run_warm", lambda *_, **__: warm)
    assert main(["bench", "--threads", "1,2", "--memory-limit", "2G"]) == 0
    table = capsys.readouterr().out
    assert table.count("1 threads: time met (5.0 s), memory met (600 MB)") == 2
    assert table.count("2 threads: time NOT met (99.0 s), memory NOT met (5000 MB)") == 2
    assert table.index("chest scan    10 x 10 x 10") < table.index("gated scan    512 x 512 x 250, 0.350 x 0.350")
    assert main(["bench", "--threads", "1,2", "--memory-limit", "2G", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [run["paper_time_met"] for run in found["runs"]] == [True, False]
    assert found["gated"]["scan"]["shape_zyx"] == [250, 512, 512]
    for run in [*found["runs"], *found["gated"]["runs"]]:
        assert run["gzip_s"] == {"in": 1.5, "out": 0.5}
        # Writing takes half of its second without compression, and the total 5.5 s.
        assert run["cold_share"] == dict.fromkeys(benchmarking.STAGES[:5], 0.182) | {"write": 0.091}


def test_a_warm_engine_tells_its_stages_and_what_compression_adds(tmp_path, monkeypatch):
    """With the networks of the phantom, which find something in any scan."""
    models = make_models(tmp_path)
    monkeypatch.setattr("whs_fast.engine.models_folder", lambda: models)
    scan = tmp_path / "scan.nii"
    benchmarking.make_scan(scan, shape=(40, 48, 50))
    (tmp_path / "packed.nii.gz").write_bytes(gzip.compress(scan.read_bytes()))
    found = benchmarking.run_warm(scan, tmp_path / "out", threads=2, runs=1)
    assert tuple(found["timings_s"]) == benchmarking.STAGES
    assert found["timings_s"]["total"] >= max(found["timings_s"][stage] for stage in benchmarking.STAGES[:-1])
    assert set(found["gzip_s"]) == {"in", "out"}


def test_a_scan_of_given_spacing_lies_about_the_middle(tmp_path):
    grid = benchmarking.make_scan(tmp_path / "a.nii", shape=(60, 64, 70), spacing_mm=(1.0, 2.0, 3.0))
    with benchmarking.resources.as_file(benchmarking.resources.files("whs_fast") / "data" / "sample.nii.gz") as file:
        sample = read(file)
    low, high = np.array(grid.box_mm)
    assert np.allclose(low + high, np.sum(sample.grid.box_mm, axis=0), atol=1e-3)
    assert grid.spacing_mm == pytest.approx((1.0, 2.0, 3.0))
    voxel = read(tmp_path / "a.nii").array[30, 32, 35]  # of noise 20 HU, near the middle
    assert abs(int(voxel) - int(sample.array[tuple(n // 2 for n in sample.array.shape)])) < 400
