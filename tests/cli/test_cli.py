"""The command line: what it writes, what it says, and the exit status of every kind of end."""

import gzip
import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys

import pytest
import SimpleITK as sitk
from support.confidence import FEW, make_calibration
from support.pages import measurements, quality
from support.phantom import make_models, make_phantom, to_image
from support.streams import without_progress
from whs_fast import engine as engine_module
from whs_fast.cli import main
from whs_fast.cli.commands import COMMANDS
from whs_fast.cli.segmenting import tell_measurements
from whs_fast.networks.installed import hash_files, ir_files
from whs_fast.outputs import FORMATS
from whs_fast.structures import STRUCTURES

RESULTS = {"labels.nii.gz", "measurements.json", "preview.png", "report.html"}


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "Doe^Jane 1970.nii.gz"
    sitk.WriteImage(to_image(make_phantom()), path)
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = make_models(tmp_path_factory.mktemp("models"))
    scores = {"dense_vnet": {"overall_union": 0.9}, "squeezenet": {}}
    (folder / "models.json").write_text(json.dumps(scores), encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def phantom_models(models, monkeypatch):
    monkeypatch.setattr("whs_fast.networks.installed.models_folder", lambda: models)
    monkeypatch.setattr(engine_module, "models_folder", lambda: models)


def said(capsys):
    """Standard output, and the one line of standard error."""
    captured = capsys.readouterr()
    error = without_progress(captured.err)
    assert error.count("\n") == 1 and error.startswith("whs-fast: ")
    return captured.out, error.strip()


def test_a_run_leaves_everything_and_says_the_volumes(scan, tmp_path, capsys):
    assert main(["run", str(scan), "-o", str(tmp_path / "out"), "--threads", "2"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == RESULTS
    captured = capsys.readouterr()
    assert without_progress(captured.err) == ""
    measurements = json.loads((tmp_path / "out" / "measurements.json").read_text("utf-8"))
    volume = measurements["structures"]["left_atrium"]["volume_ml"]
    assert re.search(rf"^Left atrium +{volume:.1f} mL$", captured.out, re.M)
    assert str(tmp_path / "out" / "report.html") in captured.out


def test_a_check_and_the_reasons_for_a_review_are_told(scan, models, tmp_path, capsys):
    calibration = make_calibration(hash_files(ir_files(models / "dense_vnet.xml")), threshold=0.99)
    (models / "confidence.json").write_text(json.dumps(calibration), encoding="utf-8")
    try:
        assert main(["run", str(scan), "-o", str(tmp_path / "out"), "--threads", "2", "--check"]) == 0
    finally:
        (models / "confidence.json").unlink()
    captured = capsys.readouterr()
    assert f"review: the predicted overall Dice is {FEW:.2f}, expected at least 0.80" in captured.err
    assert re.search(rf"^Expected overall Dice +{FEW:.2f}$", captured.out, re.M)
    told = json.loads((tmp_path / "out" / "measurements.json").read_text("utf-8"))["confidence"]
    assert told["review"] is True and told["predicted_dice"]["overall_pooled"] == FEW
    assert 'class="light red"' in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_a_doubtful_structure_is_told_though_no_review_is_asked_for(capsys):
    dice = quality()["confidence"]["predicted_dice"] | {"right_atrium": 0.58}
    tell_measurements(measurements(**quality(predicted_dice=dice)))
    assert "doubtful: right atrium (0.58)\n" in capsys.readouterr().err
    tell_measurements(
        measurements(**quality(predicted_dice=dice, review=True, reasons=["doubtful: right atrium (0.58)"]))
    )
    assert capsys.readouterr().err.count("doubtful") == 1


def test_the_backend_is_chosen_and_told(scan, tmp_path):
    arguments = ["run", str(scan), "-o", str(tmp_path), "--threads", "2", "--overwrite"]
    assert main([*arguments, "--backend", "openvino", "--device", "CPU"]) == 0
    told = json.loads((tmp_path / "measurements.json").read_text("utf-8"))["backend"]
    assert told == {"name": "openvino", "device": "CPU", "instructions": None, "threads": 2}


def test_no_result_holds_the_name_of_the_input(scan, tmp_path):
    assert main(["run", str(scan), "-o", str(tmp_path / "out"), "--formats", "nifti,seg.nrrd"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == RESULTS | {"labels.seg.nrrd"}
    for path in (tmp_path / "out").iterdir():
        content = path.read_bytes()
        assert b"Doe^Jane" not in (gzip.decompress(content) + content if path.suffix == ".gz" else content)


def test_earlier_results_are_refused_before_the_scan_is_read(scan, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    (out / "measurements.json").write_text("{}")
    monkeypatch.setattr(engine_module, "read", lambda *a, **k: pytest.fail("the scan was read"))
    assert main(["run", str(scan), "-o", str(out)]) == 2
    assert said(capsys)[1].startswith(f"whs-fast: {out}: holds earlier results (measurements.json)")
    assert (out / "measurements.json").read_text() == "{}"


def test_without_a_folder_they_lie_in_one_called_results(scan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(scan)]) == 0
    assert {path.name for path in (tmp_path / "results").iterdir()} == RESULTS


def test_overwriting_replaces_them(scan, tmp_path):
    (tmp_path / "measurements.json").write_text("{}")
    assert main(["run", str(scan), "-o", str(tmp_path), "--overwrite"]) == 0
    assert json.loads((tmp_path / "measurements.json").read_text("utf-8"))["schema"] == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["walk"], "no such command: 'walk'; choose one of demo, run, batch,"),
        (["runn"], "no such command: 'runn'; did you mean run?"),
        (["cohort_table"], "no such command: 'cohort_table'; did you mean cohort-table?"),
        (["run", "a.nii.gz", "b.nii.gz", "-o", "out"], "found 2, expected one scan: `whs-fast batch INPUTS -o DIR`"),
        (["run", "scans", "-o", "out"], "scans: found no DICOM image, but 2 NIfTI, NRRD or MetaImage files, expected"),
        (["run", "-o", "out"], "input: expected either INPUT or --from-dicomweb URL"),
        (["run", "scan.nii.gz", "-o", "out", "--fast"], "No such option"),
        (["run", "scan.nii.gz", "-o", "out", "--threads", "0"], "0 is not in the range x>=1"),
        (["run", "scan.nii.gz", "-o", "out", "--threads", "many"], "'many' is not a valid integer"),
        (["run", "scan.nii.gz", "-o", "out", "--localiser", "resnet"], "'resnet' is not one of"),
        (["run", "scan.nii.gz", "-o", "out", "--backend", "cuda"], "'cuda' is not one of 'auto', 'native', 'openvino'"),
        (["run", "scan.nii.gz", "-o", "out", "--device", "TPU"], "this machine has no 'TPU', choose one of CPU"),
        (
            ["run", "scan.nii.gz", "-o", "out", "--backend", "native", "--device", "AUTO"],
            "native backend runs only on the CPU",
        ),
        (["run", "scan.nii.gz", "-o", "out", "--formats", "jpeg"], "format: 'jpeg' is unknown"),
        (["run", "scan.nii.gz", "-o", "out", "--formats", ","], "formats: expected one or more of nifti, nifti-each"),
        (["run", "not there.nii.gz", "-o", "out"], "not there.nii.gz"),
        (["run", "notes.nii.gz", "-o", "out"], "notes.nii.gz"),
        (["run", "empty folder", "-o", "out"], "empty folder"),
    ],
)
def test_wrong_input_and_options_are_status_2_and_leave_nothing(tmp_path, monkeypatch, capsys, arguments, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.nii.gz").write_text("shopping list")
    (tmp_path / "empty folder").mkdir()
    (tmp_path / "scans").mkdir()
    for name in ("a.nii.gz", "b.nrrd", "notes.txt"):
        (tmp_path / "scans" / name).touch()
    assert main(arguments) == 2
    assert text in said(capsys)[1]
    assert {path.name for path in tmp_path.iterdir()} == {"notes.nii.gz", "empty folder", "scans"}


def test_a_file_in_the_way_of_the_output_is_status_3(scan, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert main(["run", str(scan), "-o", str(tmp_path / "file")]) == 3
    assert said(capsys)[1] == f"whs-fast: {tmp_path / 'file'}: is a file; the results need a folder"


@pytest.mark.skipif(sys.platform == "win32", reason="the system has no limit on the size of files")
def test_no_room_for_the_output_is_status_3_and_leaves_nothing(scan, tmp_path, capsys):
    """A real failure of write(2), by a limit on the size of files."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        status = main(["run", str(scan), "-o", str(tmp_path / "a" / "out")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert status == 3
    line = said(capsys)[1]
    assert str(tmp_path / "a" / "out") in line and "partial" not in line
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_is_status_130_and_leaves_nothing(scan, tmp_path, capsys, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine_module, "segment", interrupted)
    assert main(["run", str(scan), "-o", str(tmp_path / "out")]) == 130
    assert "interrupted" in said(capsys)[1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("debug", [False, True])
def test_a_fault_of_ours_is_status_1_with_one_line(scan, tmp_path, capsys, monkeypatch, debug):
    def broken(*arguments, **options):
        raise ZeroDivisionError("first line\nsecond line")

    monkeypatch.setattr(engine_module, "clean", broken)
    monkeypatch.setenv("WHS_FAST_DEBUG", "1" if debug else "")
    assert main(["run", str(scan), "-o", str(tmp_path / "out")]) == 1
    error = without_progress(capsys.readouterr().err)
    assert error.splitlines()[-1].startswith("whs-fast: internal error: ZeroDivisionError: first line second line")
    assert ("Traceback" in error) is debug
    assert debug or error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_missing_model_is_status_1(scan, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(engine_module, "models_folder", lambda: tmp_path / "nowhere")
    assert main(["run", str(scan), "-o", str(tmp_path / "out")]) == 1
    assert "dense_vnet.xml: no such model file" in said(capsys)[1]


def test_warnings_go_to_standard_error(scan, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(engine_module, "find_doubts", lambda *arguments: ["look twice"])
    assert main(["run", str(scan), "-o", str(tmp_path / "out")]) == 0
    assert without_progress(capsys.readouterr().err) == "warning: look twice\n"


def test_the_demo_runs_on_the_shipped_sample(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    assert {path.name for path in (tmp_path / "whs_fast_demo").iterdir()} == RESULTS
    assert main(["demo"]) == 2
    assert main(["demo", "-o", "elsewhere"]) == 0
    assert {path.name for path in (tmp_path / "elsewhere").iterdir()} == RESULTS


def hash_of(file):
    return hashlib.sha256(file.read_bytes() + file.with_suffix(".bin").read_bytes()).hexdigest()


def test_info_names_versions_models_and_features(capsys, models):
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    for part in (
        r"whs_fast +0\.",
        "OpenVINO 20",
        "NumPy ",
        "SimpleITK ",
        *(f"{file.stem} +sha256 {hash_of(file)}" for file in models.glob("*.xml")),
        r"backends +native \(CPU\), openvino \(CPU.*, AUTO\); auto takes (native|openvino)\n",
        r"inflater +(isal|zlib), ",
        r"cache +compiled networks in no folder",
        r"overall_union +0\.9",
    ):
        assert re.search(part, text)


def test_info_as_json_holds_what_the_text_tells(capsys, models):
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    for part in (found["version"], found["system"], *found["libraries"].values(), *found["kernels"], found["auto"]):
        assert part in text
    assert found["models"]["dense_vnet"] == {
        "sha256": {"dense_vnet": hash_of(models / "dense_vnet.xml")},
        "scores": {"overall_union": 0.9},
    }
    assert found["backends"]["native"] == ["CPU"] and "CPU" in found["backends"]["openvino"]


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["-h"], ["run", "--help"], ["demo", "--help"], ["info", "--help"]]
)
def test_help_teaches_on_standard_output(arguments, capsys):
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.err == "" and "Usage: whs-fast" in captured.out
    if arguments[:1] in ([], ["run"]):
        assert "whs-fast run scan.nii.gz -o results" in captured.out


def test_the_version_is_told(capsys):
    assert main(["--version"]) == 0
    assert re.fullmatch(r"whs_fast \d+\.\d+\S*\n", capsys.readouterr().out)


def test_the_module_can_be_run_and_help_loads_nothing_heavy(tmp_path):
    program = (
        "import sys, runpy; sys.argv = ['whs-fast', '--help']\n"
        "try: runpy.run_module('whs_fast', run_name='__main__')\n"
        "except SystemExit as end: print(end.code, [m for m in ('openvino', 'SimpleITK', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_a_real_process_ends_with_status_and_one_line(tmp_path):
    command = [sys.executable, "-m", "whs_fast", "run", str(tmp_path / "gone.nrrd"), "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "40"})
    assert done.returncode in (1, 2)  # 1 as long as no trained models are installed
    assert done.stdout == "" and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_json_lines_tell_progress_and_the_result(scan, tmp_path, capsys):
    assert main(["run", str(scan), "-o", str(tmp_path / "out"), "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    *steps, last = [json.loads(line) for line in captured.out.splitlines()]
    assert {line["event"] for line in steps} == {"progress"}
    told = [line["step"] for line in steps]
    assert list(dict.fromkeys(told)) == ["read", "localise", "segment", "clean", "measure", "write", "done"]
    assert told.count("segment") > 10  # it moves while the network works
    done = [line["done"] for line in steps]
    assert done == sorted(done) and done[0] == 0.0 and done[-1] == 1.0
    written = json.loads((tmp_path / "out" / "measurements.json").read_text("utf-8"))
    assert last == {"event": "result", "folder": str(tmp_path / "out"), "measurements": written}


def test_json_lines_end_with_a_fault_on_standard_error(tmp_path, capsys):
    assert main(["run", str(tmp_path / "gone.nii.gz"), "-o", str(tmp_path / "out"), "--json"]) == 2
    out, error = said(capsys)
    assert "gone.nii.gz" in error and {json.loads(line)["event"] for line in out.splitlines()} == {"progress"}


def test_verbose_logs_the_steps_and_nothing_of_the_input_and_ends_with_the_command(scan, tmp_path, capsys):
    assert main(["run", str(scan), "-o", str(tmp_path / "out"), "-v"]) == 0
    lines = capsys.readouterr().err.splitlines()
    for step in ("read", "localise", "segment", "clean", "measure", "write"):
        assert sum(f"INFO {step}: " in line for line in lines) == 1
    assert any("DEBUG scan of 90 x 90 x 80 voxels of 2 x 2 x 2 mm" in line for line in lines)
    assert not any("Doe" in line for line in lines)
    assert logging.getLogger("whs_fast").handlers == [] and logging.getLogger("whs_fast").level == logging.NOTSET
    assert main(["run", str(scan), "-o", str(tmp_path / "out"), "--overwrite"]) == 0
    assert without_progress(capsys.readouterr().err) == ""


def test_every_command_can_be_verbose_and_shows_examples(capsys):
    for name in COMMANDS:
        assert main([name, "--help"]) == 0
        text = capsys.readouterr().out
        assert text.count("--verbose") == 1
        assert f"  whs-fast {name}" in text.partition("Examples:")[2] or name == "info"  # which has no options
    assert main(["--help"]) == 0
    assert "..." not in capsys.readouterr().out.partition("Commands:")[2]  # no command's line is cut short


def test_the_help_of_run_names_every_format(capsys):
    assert main(["run", "--help"]) == 0
    listed = {name.strip(",") for line in capsys.readouterr().out.splitlines() for name in line[:14].split()}
    assert set(FORMATS) <= listed


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("whs-fast coh", {"cohort-table"}),
        ("whs-fast run --local", {"--localiser"}),
        ("whs-fast run --localiser s", {"squeezenet"}),
        ("whs-fast run --formats nifti,s", {"nifti,seg.nrrd", "nifti,stl"}),
    ],
)
def test_the_shell_completes_commands_options_and_values(words, expected, capsys, monkeypatch):
    monkeypatch.setenv("_WHS_FAST_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    assert main([]) == 0
    assert {line.partition(",")[2] for line in capsys.readouterr().out.splitlines()} == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_completion_script_that_it_takes(shell, capsys, monkeypatch):
    monkeypatch.setenv("_WHS_FAST_COMPLETE", f"{shell}_source")
    assert main([]) == 0
    script = capsys.readouterr().out
    assert f"_WHS_FAST_COMPLETE={shell}_complete" in script and "whs-fast" in script
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=script, text=True, check=True)


def test_surfaces_come_with_a_run(scan, tmp_path):
    assert main(["run", str(scan), "-o", str(tmp_path / "out"), "--formats", "stl,glb"]) == 0
    made = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    surfaces = {"heart.glb", *(f"meshes/{structure.key}.stl" for structure in STRUCTURES)}
    assert made == surfaces | RESULTS - {"labels.nii.gz"}
