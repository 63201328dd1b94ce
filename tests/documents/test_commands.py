"""The commands of the documents run as they stand, each page in a folder that holds what its commands read."""

import csv
import json
import shlex
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
import SimpleITK as sitk
from support.batches import Site, write_phantom
from support.dicom_cases import tagged, write
from support.documents import BATCH, PHANTOM, SAMPLE, claimed_by
from support.hearts import make_heart, write_map
from support.phantom import make_models, make_phantom, to_image
from support.scans import write_dicom
from whs_fast.cli import main
from whs_fast.reading.markups import LABELS
from whs_fast.reading.scan import read

# What stands for something of the reader's own.
MEANT = {"GPU": "CPU", "/opt/whs_fast/bin/": "", "whs/bin/": "", "/tmp/demo": "demo"}


def arguments(example):
    text = example.text
    for word, meant in MEANT.items():
        text = text.replace(word, meant)
    program, *rest = shlex.split(text)
    assert program == "whs-fast"
    return rest


def run(example, capsys):
    """By the program's own main. What the page's other commands left where this one writes is not there yet."""
    given = arguments(example)
    if "-o" in given and "--overwrite" not in given:
        output = Path(given[given.index("-o") + 1])
        if output.is_file():
            output.unlink()
        shutil.rmtree(output, ignore_errors=True)
    assert main(given) == 0, f"{example.page}: {example.text}\n{capsys.readouterr().err}"


def different(test):
    """The examples that a test runs, each command once, wherever it stands."""
    return {tuple(arguments(example)): example for example in reversed(claimed_by(test))}.values()


def named(test):
    return [pytest.param(example, id=f"{example.page}: {example.text}") for example in different(test)]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    """A phantom in every form that the pages name, its results, and label maps as if corrected by hand."""
    folder = tmp_path_factory.mktemp("phantom")
    models = make_models(folder)
    volume = make_phantom(spacing_mm=(3.0, 3.0, 4.0), shape=(44, 62, 64))
    sitk.WriteImage(to_image(volume), folder / "scan.nii.gz")
    write_dicom(volume, folder / "dicom_folder")
    for percent in (35, 75):
        phase = tagged(NominalPercentageOfCardiacPhase=percent)
        write(volume, folder / "study", series=f"1.{percent}", edit=phase)
    shutil.make_archive(str(folder / "study"), "zip", folder / "study")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("whs_fast.engine.models_folder", lambda: models)
        saved = ["--formats", "nifti,seg.nrrd", "-o"]
        assert main(["run", str(folder / "scan.nii.gz"), *saved, str(folder / "results" / "case_01")]) == 0
        assert main(["run", str(folder / "scan.nii.gz"), *saved, str(folder / "results_corrected")]) == 0
    shutil.copy(folder / "results_corrected" / "labels.seg.nrrd", folder / "corrected.seg.nrrd")
    for references in ("labels", "corrected"):
        write_map(folder / references / "case_01.nii.gz", make_heart(volume.grid), volume.grid)
    (folder / "valves.csv").write_text("case,x_mm,y_mm,z_mm\ncase_01,12.5,-31.0,204.2\n")
    lines = "".join(f"p{number},{60 + number % 20},{'fm'[number % 2]}\n" for number in range(71))
    (folder / "patients.csv").write_text("patient,age,sex\n" + lines)
    (folder / "split.csv").write_text("patient,age,split\n" + lines.replace(",f", ",train").replace(",m", ",test"))
    return folder, models


@pytest.mark.parametrize("example", named(PHANTOM))
def test_a_command_runs(example, phantom, tmp_path, monkeypatch, capsys):
    folder, models = phantom
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("whs_fast.engine.models_folder", lambda: models)
    run(example, capsys)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """The sample that ships, as a file and as a DICOM folder, its results, and moved hinge points."""
    folder = tmp_path_factory.mktemp("sample")
    shutil.copy(resources.files("whs_fast") / "data" / "sample.nii.gz", folder / "scan.nii.gz")
    write_dicom(read(folder / "scan.nii.gz"), folder / "dicom_folder")
    assert main(["run", str(folder / "scan.nii.gz"), "-o", str(folder / "results")]) == 0
    contour = json.loads((folder / "results" / "measurements.json").read_text())["valves"]["aortic"]["contour_mm"]
    points = [{"label": label, "position": contour[12 * number]} for number, label in enumerate(LABELS)]
    (folder / "moved.mrk.json").write_text(json.dumps({"markups": [{"controlPoints": points}]}))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("example", named(SAMPLE))
def test_a_command_that_wants_a_heart_runs(example, sample, monkeypatch, capsys):
    monkeypatch.chdir(sample)
    run(example, capsys)


@pytest.mark.slow
def test_a_cohort_comes_from_a_folder_of_scans(tmp_path):
    """docs/batch.md from its beginning to Table 1, by command and from Python."""
    site = Site(tmp_path / "site")
    (tmp_path / "scans").mkdir()
    for number in range(4):
        write_phantom(tmp_path / "scans" / f"p{number}.nii.gz", seed=number)
    lines = "".join(f"p{number},{60 + number},{'fm'[number % 2]}\n" for number in range(4))
    (tmp_path / "patients.csv").write_text("id,age,sex\n" + lines)
    commands = {
        example.text: ["example.py"] if example.language == "python" else ["-m", "whs_fast", *arguments(example)]
        for example in claimed_by(BATCH)
    }
    for text, command in commands.items():
        (tmp_path / "example.py").write_text(text)
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=site.environment, capture_output=True, encoding="utf-8"
        )
        assert done.returncode == 0, f"{text}\n{done.stderr}"
    with (tmp_path / "cohort" / "table.csv").open(newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["done"] * 4
    assert "left_atrium_ml" in (tmp_path / "table1" / "cohort_table.md").read_text("utf-8")
