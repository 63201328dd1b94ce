"""A batch from the command line to its table: what it leaves, what it does again, and that workers change nothing."""

import gzip
import json
import shutil

import pyarrow.parquet
import pytest
import whs_fast
from support.batches import (
    Site,
    labels_of,
    measurements_of,
    read_table,
    same_labels,
    stamps,
    without_clock,
    write_phantom,
)
from support.dicom_cases import tagged, write
from support.phantom import make_phantom
from whs_fast import InputError
from whs_fast.batching.inputs import Scan
from whs_fast.batching.working import Settings, Task, do
from whs_fast.cli import main
from whs_fast.structures import STRUCTURES

NAMES = ["a", "b", "c_d"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return Site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Three scans, and one that is damaged."""
    folder = tmp_path_factory.mktemp("scans")
    for seed, name in enumerate(("a", "b", "c/d")):
        write_phantom(folder / f"{name}.nii.gz", seed)
    (folder / "bad.nii.gz").write_bytes((folder / "a.nii.gz").read_bytes()[:-1000])
    return folder


@pytest.fixture(scope="module")
def done(site, scans, tmp_path_factory):
    """The folder of a batch on two workers, its status, and what it said."""
    output = tmp_path_factory.mktemp("done") / "cohort"
    return output, *site.run("batch", scans, "-o", output, "--workers", 2)


@pytest.fixture
def copy(done, tmp_path):
    return shutil.copytree(done[0], tmp_path / "copy")


def test_good_scans_are_done_and_a_bad_one_has_a_row_with_its_reason(done, scans):
    output, status, said, errors = done
    rows = read_table(output)
    assert [row["id"] for row in rows] == ["a", "b", "bad", "c/d"]
    assert [row["status"] for row in rows] == ["done", "done", "refused", "done"]
    assert rows[2]["reason"].startswith("bad: found") and str(scans) not in rows[2]["reason"]
    assert status == 4
    assert errors == [f"whs-fast: 1 of 4 failed: bad ({rows[2]['reason']})"]
    assert said == f"3 of 4 done: {output / 'table.csv'}, {output / 'cohort.html'}\n"


def test_results_lie_by_the_name_of_the_scan_and_nothing_else_is_left(done):
    output = done[0]
    assert sorted(path.name for path in (output / "scans").iterdir()) == NAMES
    assert {path.name for path in output.iterdir()} == {
        *("rows", "scans", "thumbnails"),
        *("table.csv", "table.parquet", "cohort.html"),
    }
    assert {path.name for path in (output / "scans" / "a").iterdir()} == {
        *("labels.nii.gz", "measurements.json", "preview.png", "report.html"),
    }
    assert sorted(path.name for path in (output / "rows").iterdir()) == ["a.json", "b.json", "bad.json", "c_d.json"]
    assert sorted(path.stem for path in (output / "thumbnails").iterdir()) == NAMES
    assert all(path.read_bytes()[:3] == b"\xff\xd8\xff" for path in (output / "thumbnails").iterdir())


def test_a_row_holds_what_was_measured_with_units(done):
    output = done[0]
    row, measured = read_table(output)[3], measurements_of(done[0], "c_d")
    for structure in STRUCTURES:
        assert float(row[f"{structure.key}_ml"]) == measured["structures"][structure.key]["volume_ml"]
    assert float(row["lv_myocardium_mass_g"]) == measured["lv_myocardium_mass_g"]
    assert [float(row[f"aortic_valve_{axis}_mm"]) for axis in "xyz"] == measured["aortic_valve_mm"]
    assert {name: row[f"sha256_{name}"] for name in measured["models"]} == measured["models"]
    assert row["warnings"] == "; ".join(measured["warnings"])
    assert float(row["segment_s"]) == measured["timings_s"]["segment"]


def test_parquet_and_csv_hold_the_same(done):
    table = pyarrow.parquet.read_table(done[0] / "table.parquet").to_pylist()
    expected = [{name: "" if value is None else str(value) for name, value in row.items()} for row in table]
    assert read_table(done[0]) == expected
    assert isinstance(table[0]["aorta_ml"], float) and table[2]["aorta_ml"] is None and table[0]["voxels_x"] == 90


def test_the_number_of_workers_and_threads_changes_nothing(site, scans, done, tmp_path):
    site.run("batch", scans, "-o", tmp_path, "--workers", 1, "--threads-per-worker", 2)
    assert without_clock(read_table(tmp_path)) == without_clock(read_table(done[0]))
    assert same_labels(labels_of(tmp_path), labels_of(done[0])) and len(labels_of(tmp_path)) == 3


def test_a_second_call_does_nothing_again(site, scans, copy):
    before, table = stamps(copy), (copy / "table.csv").read_bytes()
    (copy / "table.csv").unlink()
    assert site.run("batch", scans, "-o", copy)[0] == 4
    assert stamps(copy) == before and (copy / "table.csv").read_bytes() == table


def test_a_second_call_does_what_is_new_changed_or_damaged(site, scans, copy, tmp_path):
    own = shutil.copytree(scans, tmp_path / "own")  # with the times of the files
    write_phantom(own / "new.nii.gz", 5)
    (own / "bad.nii.gz").write_bytes((own / "a.nii.gz").read_bytes())
    (copy / "rows" / "b.json").write_text('{"key": ')
    before = stamps(copy)
    assert site.run("batch", own, "-o", copy)[0] == 0
    after = stamps(copy)
    assert {name for name in after if after[name] != before.get(name)} == {"b.json", "bad.json", "new.json"}
    assert [row["status"] for row in read_table(copy)] == ["done"] * 5


def test_other_options_do_all_again_and_what_was_refused_only_when_asked(site, scans, copy):
    before = stamps(copy)
    assert site.run("batch", scans, "-o", copy, "--retry-failed")[0] == 4
    after = stamps(copy)
    assert {name for name in after if after[name] != before[name]} == {"bad.json"}
    assert site.run("batch", scans, "-o", copy, "--formats", "nifti,seg.nrrd")[0] == 4
    assert all(stamp != after[name] for name, stamp in stamps(copy).items())
    assert (copy / "scans" / "a" / "labels.seg.nrrd").exists()


def test_what_failed_by_no_fault_of_its_own_is_done_again(site, scans, copy):
    record = json.loads((copy / "rows" / "a.json").read_text("utf-8"))
    record["rows"] = [record["rows"][0] | {"status": "failed", "reason": "internal error, KeyError"}]
    (copy / "rows" / "a.json").write_text(json.dumps(record), encoding="utf-8")
    site.run("batch", scans, "-o", copy)
    assert read_table(copy)[0]["status"] == "done"


def test_results_of_other_options_do_not_stay_beside_a_failure(site, scans, copy, tmp_path):
    own = shutil.copytree(scans, tmp_path / "own")
    shutil.copy(own / "bad.nii.gz", own / "a.nii.gz")
    assert site.run("batch", own, "-o", copy)[0] == 4
    assert sorted(path.name for path in (copy / "scans").iterdir()) == NAMES[1:]
    assert sorted(path.stem for path in (copy / "thumbnails").iterdir()) == NAMES[1:]


def test_only_measurements_writes_the_table_alone(site, scans, done, tmp_path):
    assert site.run("batch", scans / "a.nii.gz", "-o", tmp_path / "out", "--only", "measurements")[0] == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"rows", "table.csv", "table.parquet", "cohort.html"}
    assert without_clock(read_table(tmp_path / "out")) == without_clock(read_table(done[0]))[:1]


def test_phases_give_a_row_and_results_each(site, tmp_path):
    phantom = make_phantom()
    for percent in (35, 75):
        tags = tagged(NominalPercentageOfCardiacPhase=percent)
        write(phantom, tmp_path / "in" / "patient", series=f"1.{percent}", edit=tags)
    write_phantom(tmp_path / "in" / "single.nii.gz")
    assert site.run("batch", tmp_path / "in", "-o", tmp_path / "out", "--phases")[0] == 0
    rows = read_table(tmp_path / "out")
    assert [(row["id"], row["scan"], row["phase"]) for row in rows] == [
        ("patient@phase_35", "patient", "35%"),
        ("patient@phase_75", "patient", "75%"),
        ("single", "single", ""),
    ]
    assert sorted(labels_of(tmp_path / "out")) == ["patient@phase_35", "patient@phase_75", "single"]


def test_with_ids_of_its_own_a_batch_leaves_nothing_of_the_patient(site, scans, tmp_path):
    patient = tmp_path / "Quetzalcoatl_19440229"
    write(make_phantom(), patient / "study", edit=tagged(PatientName="Quetzalcoatl", PatientBirthDate="19440229"))
    shutil.copy(scans / "bad.nii.gz", patient)
    table = tmp_path / "cohort.csv"
    table.write_text(f"id,path\nP-1,{patient.name}/study\nP-2,{patient.name}/bad.nii.gz\n", encoding="utf-8")
    status, *said = site.run("batch", table, "-o", tmp_path / "out", "--report", "interactive")
    assert status == 4 and [row["status"] for row in read_table(tmp_path / "out")] == ["done", "refused"]
    found = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    for content in [str(said).encode(), *(path.read_bytes() for path in found)]:
        plain = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
        assert b"quetzalcoatl" not in plain.lower() and b"19440229" not in plain


def test_a_worker_with_other_models_ends_the_batch(scans, site, tmp_path):
    settings = Settings(1, "squeezenet", "auto", "CPU", None, "plain", False, site.models)
    task = Task(Scan("a", "a", scans / "a.nii.gz"), tmp_path, "key", "another installation", settings)
    with pytest.raises(InputError, match="install the same on all machines"):
        do(task)
    assert list(tmp_path.iterdir()) == []


def test_the_library_yields_earlier_rows_and_then_new_ones(scans, site, copy):
    rows = list(
        whs_fast.batch(
            [scans / "a.nii.gz", scans / "b.nii.gz"], copy, models=site.models, workers=1, formats=("nifti",)
        )
    )
    assert sorted(row["id"] for row in rows) == ["a", "b"] and {row["status"] for row in rows} == {"done"}
    assert [row["id"] for row in read_table(copy)] == ["a", "b"]  # the table is of the scans of the call


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "0"], "0 is not in the range x>=1"),
        (["--formats", "dicom"], "'dicom' is unknown"),
        (["--scheduler", "tcp://127.0.0.1:9", "--workers", "2"], "belong to a cluster of this machine"),
        (["--scheduler", "tcp://127.0.0.1:9"], "scheduler tcp://127.0.0.1:9: found none that answers"),
    ],
)
def test_options_that_cannot_be_used_are_status_2(scans, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.setattr("whs_fast.batching.scheduling._WAIT_S", 0.1)
    assert main(["batch", str(scans), "-o", str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("whs-fast: ") and message in error


def test_a_file_in_the_way_is_status_3(scans, tmp_path, capsys):
    (tmp_path / "out").write_text("mine")
    assert main(["batch", str(scans), "-o", str(tmp_path / "out")]) == 3
    assert "is a file; the results need a folder" in capsys.readouterr().err


def test_without_the_extra_the_line_says_what_to_install(scans, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("whs_fast.machine.find_spec", lambda module: None if module == "distributed" else module)
    assert main(["batch", str(scans), "-o", str(tmp_path)]) == 2
    assert "needs distributed: pip install 'whs-fast[batch]'" in capsys.readouterr().err
