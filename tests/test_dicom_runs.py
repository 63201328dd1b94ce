"""From DICOM to labels: hard series give those of the plain one, and every phase may be run."""

import json
import shutil

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from support import dicom_cases
from support.dicom_cases import tagged, write, write_enhanced
from support.phantom import VALVE_MM, check_anatomy, make_models, make_phantom
from support.scans import PATIENT
from support.streams import without_progress
from whs_fast import InputError, Volume, open_phases
from whs_fast import engine as engine_module
from whs_fast.cli import main
from whs_fast.engine import Engine

PHANTOM = make_phantom(spacing_mm=(2.4, 2.4, 2.5), shape=(68, 76, 74))
PERCENTS = (5, 35, 75)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def engine(models):
    return Engine(threads=2, models=models)


@pytest.fixture(scope="module")
def plain(engine, tmp_path_factory):
    return engine.run(write(PHANTOM, tmp_path_factory.mktemp("plain")))


@pytest.fixture(scope="module")
def phases(tmp_path_factory):
    """Three phases of the phantom in one folder, the last without ten of its slices."""
    folder = tmp_path_factory.mktemp("phases") / "study"
    for phase, percent in enumerate(PERCENTS):

        def edit(index: int, image: Dataset, phase: int = phase, percent: int = percent) -> Dataset | None:
            image.NominalPercentageOfCardiacPhase = float(percent)
            image.SeriesInstanceUID = f"{dicom_cases.ROOT}.1"
            return None if phase == 2 and 20 <= index < 30 else image

        write(PHANTOM, folder, series=f"1.{phase}", edit=edit)
    return folder


def make_enhanced(folder):
    write_enhanced([PHANTOM], folder / "scan.dcm", syntax=pydicom.uid.RLELossless)


def make_copies(folder):
    write(PHANTOM, folder / "a")
    write(PHANTOM, folder / "b", edit=lambda index, image: tagged(SOPInstanceUID=f"1.2.{index}")(index, image))


def make_study(folder):
    write(PHANTOM, folder, edit=tagged(SeriesDescription="CTA heart 35 %", ContrastBolusAgent="X"))
    write(Volume(PHANTOM.array[::-1], PHANTOM.spacing_mm, PHANTOM.origin_mm), folder, series="2")


@pytest.mark.parametrize("make", (make_enhanced, make_copies, make_study))
def test_hard_folders_give_the_labels_of_the_plain_series(make, engine, plain, tmp_path):
    make(tmp_path)
    result = engine.run(tmp_path)
    np.testing.assert_array_equal(result.labels, plain.labels)
    assert result.aortic_valve_mm == plain.aortic_valve_mm
    np.testing.assert_allclose(result.origin_mm, plain.origin_mm, atol=1e-4)
    told = " ".join(result.measurements["warnings"])
    choice = result.measurements["source"]["choice"]
    assert (choice is not None) == (make is make_study)
    assert choice is None or choice.startswith("one of 2 CT series: contrast in the blood, axial slices, cardiac")
    assert ("copies" in told) == (make is make_copies) and ("took the series" in told) == (make is make_study)
    assert PATIENT not in told and dicom_cases.ROOT not in told


@pytest.mark.slow
def test_a_tilted_gantry_gives_the_same_anatomy(engine, tmp_path):
    """Slices cut out of a finer phantom along a tilted gantry, at the nearest of its voxels."""
    fine = make_phantom(spacing_mm=(1.0, 1.0, 1.0), shape=(190, 190, 190))
    tilt = np.radians(14.0)
    row, column, table = np.eye(3)[0], np.array([0.0, np.cos(tilt), -np.sin(tilt)]), np.array([0.0, 0.0, 2.2])
    shape, spacing = (72, 90, 88), (1.9, 1.8, 2.2 * np.cos(tilt))
    middle = np.array(VALVE_MM) + (4.0, 0.0, 0.0)
    first = middle - 35.5 * table - 44.5 * 1.8 * column - 43.5 * 1.9 * row
    k, j, i = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    points = first + k[..., None] * table + j[..., None] * 1.8 * column + i[..., None] * 1.9 * row
    index = np.rint(points - fine.origin_mm).astype(int).clip(0, 189)
    direction = tuple(np.column_stack([row, column, np.cross(row, column)]).ravel())
    tilted = Volume(fine.array[index[..., 2], index[..., 1], index[..., 0]], spacing, tuple(first), direction)

    def edit(index: int, image: Dataset) -> Dataset:
        image.ImagePositionPatient = [f"{value:.8g}" for value in first + index * table]
        return image

    result = engine.run(write(tilted, tmp_path, edit=edit))
    check_anatomy(result)
    assert "gantry tilted by 14.0 degrees" in result.measurements["warnings"][0]


def test_the_api_takes_phases(engine, plain, phases):
    result = engine.run(phases)
    np.testing.assert_array_equal(result.labels, plain.labels)
    assert result.measurements["warnings"][0].startswith("took phase 35% of 5%, 35%, 75%")
    assert engine.run(phases, phase=5).measurements["warnings"] == plain.measurements["warnings"]
    with open_phases(phases) as opened:
        np.testing.assert_array_equal(engine.run(opened[0]).labels, plain.labels)
        with pytest.raises(InputError, match=r"27\.50 mm"):
            engine.run(opened[2])


@pytest.fixture
def command_line(models, monkeypatch):
    monkeypatch.setattr("whs_fast.networks.installed.models_folder", lambda: models)
    monkeypatch.setattr(engine_module, "models_folder", lambda: models)


@pytest.mark.usefixtures("command_line")
def test_phase_all_runs_each_and_tells_of_the_one_that_fails(phases, plain, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["run", str(phases), "-o", str(out), "--phase", "all", "--threads", "2"]) == 4
    assert sorted(path.name for path in out.iterdir()) == ["phase_35", "phase_5"]
    for folder in out.iterdir():
        measurements = json.loads((folder / "measurements.json").read_text("utf-8"))
        assert measurements["structures"] == plain.measurements["structures"]
    captured = capsys.readouterr()
    assert [line for line in captured.out.splitlines() if line.startswith("Phase")] == [
        "Phase 5%",
        "Phase 35%",
        "Phase 75%",
    ]
    assert captured.err.splitlines()[-1] == "whs-fast: 1 of 3 phases failed: 75%"
    assert "phase 75% failed" in captured.err and "27.50 mm" in captured.err
    assert main(["run", str(phases), "-o", str(out), "--phase", "all"]) == 2
    assert "earlier results" in capsys.readouterr().err


@pytest.mark.usefixtures("command_line")
def test_phase_all_that_succeeds_ends_with_0(phases, tmp_path):
    whole = shutil.copytree(phases, tmp_path / "study", ignore=shutil.ignore_patterns("1.2_*"))
    out = tmp_path / "out"
    assert main(["run", str(whole), "-o", str(out), "--phase", "all", "--threads", "2"]) == 0
    names = ["function.csv", "function.json", "function.png", "phase_35", "phase_5"]
    assert sorted(path.name for path in out.iterdir()) == names
    function = json.loads((out / "function.json").read_text("utf-8"))["function"]
    assert function["phases"] == ["5%", "35%"]
    for phase, volume in zip(("phase_5", "phase_35"), function["left_atrium"]["volumes_ml"], strict=True):
        measured = json.loads((out / phase / "measurements.json").read_text("utf-8"))
        assert measured["structures"]["left_atrium"]["volume_ml"] == volume
    assert main(["run", str(whole), "-o", str(out), "--phase", "all"]) == 2


@pytest.mark.usefixtures("command_line")
def test_one_phase_at_the_command_line(phases, tmp_path, capsys):
    assert main(["run", str(phases), "-o", str(tmp_path / "a"), "--phase", "8", "--threads", "2"]) == 0
    assert without_progress(capsys.readouterr().err) == ""
    assert main(["run", str(phases), "-o", str(tmp_path / "b"), "--threads", "2"]) == 0
    assert without_progress(capsys.readouterr().err).startswith("warning: took phase 35%")
    assert main(["run", str(phases), "-o", str(tmp_path / "c"), "--phase", "55"]) == 2
    assert "found no such phase, expected one of: 5%, 35%, 75%" in capsys.readouterr().err


def test_series_lists_what_a_folder_holds(phases, tmp_path, capsys):
    study = shutil.copytree(phases, tmp_path / "study")
    write(PHANTOM, study, series="2", edit=tagged(Modality="MR", SeriesDescription="T1"))
    assert main(["series", str(study)]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        f"* {dicom_cases.ROOT}.1  CT  2.5 mm  194 images  'chest'  phases 5%, 35%, 75%",
        f"  {dicom_cases.ROOT}.2  MR  no volume  68 images  'T1'",
    ]
    assert captured.err == "" and PATIENT not in captured.out
    assert main(["series", str(study / "nothing")]) == 2
    assert "found no such file or folder" in capsys.readouterr().err
