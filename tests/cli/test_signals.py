"""SIGTERM, SIGHUP and Ctrl-C: one line, a status that names the signal, and nothing left behind."""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from support import dicom_cases, scans
from support.dicom_cases import SCAN, write
from support.phantom import make_models, make_phantom
from support.streams import without_progress
from whs_fast import engine as engine_module
from whs_fast.cli import main
from whs_fast.cli.commands import COMMANDS
from whs_fast.temporary import sweep_temporary
from whs_fast.writing.result_folder import check_folder

if sys.platform == "win32":
    pytest.skip("the system has no such signals", allow_module_level=True)

PAUSE = """
def pause():
    print("there", flush=True)
    for _ in range(6000):  # a signal that comes just before a sleep begins does not cut it short
        time.sleep(0.1)
"""
# The command line, which at a place of the test's choice says that it is there and goes to sleep.
PROGRAM = """
import importlib, os, pathlib, shutil, signal, sys, time
{pause}

def at(module, name, do):
    module = importlib.import_module(module)
    before = getattr(module, name)
    setattr(module, name, lambda *arguments, **options: do(before, *arguments, **options))

{patch}
from whs_fast.cli import main
sys.exit(main())
"""
WHILE_READING = 'at("whs_fast.reading.dicom.series", "arrange", lambda *_, **__: pause())'


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    return place


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return scans.zip_folder(write(SCAN, folder / "series"), folder / "study.zip")


def interrupt(patch, arguments, *numbers, ignored=(), environment=None):
    """Status and standard error of a command that got signals where the patch paused it."""

    def begin():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(pause=PAUSE, patch=textwrap.dedent(patch)), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=begin,
        env=os.environ | (environment or {}),
    )
    with process:
        while process.stdout.readline() not in ("there\n", ""):
            pass
        for number in numbers:
            process.send_signal(number)
        error = process.communicate()[1]
    return process.returncode, without_progress(error)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_has_its_status_and_one_line_and_leaves_nothing(study, tmp_path, temporary, name):
    number = getattr(signal, name)
    out = tmp_path / "new" / "out"
    status, error = interrupt(WHILE_READING, ["run", study, "-o", out, "--threads", "1"], number)
    assert (status, error) == (128 + number, "whs-fast: interrupted: nothing was written\n")
    assert list(temporary.iterdir()) == [] and not out.parent.exists()


STAGES = {
    "read": ("whs_fast.reading.dicom.series", "arrange"),
    "localise": ("whs_fast.engine", "localise"),
    "segment": ("whs_fast.engine", "segment"),
    "clean": ("whs_fast.engine", "clean"),
    "measure": ("whs_fast.engine", "measure"),
    "write": ("whs_fast.writing.label_maps", "write_labels"),
}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("stage", STAGES)
def test_ended_at_any_stage_it_leaves_nothing_after_the_next_start(
    study, tmp_path, temporary, monkeypatch, stage, number
):
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    module, name = STAGES[stage]
    patch = f"""
        import numpy
        at({module!r}, {name!r}, lambda *_, **__: pause())
        if {stage!r} != "segment":
            def nothing(_, scan, *rest, **options):
                return numpy.zeros(scan.array.shape, "uint8"), numpy.zeros((11, 11, 256), int)
            at("whs_fast.engine", "segment", nothing)
    """
    out = tmp_path / "new" / "out"
    status, error = interrupt(patch, ["run", study, "-o", out, "--threads", "1"], number)
    if number == signal.SIGKILL:
        assert status == -9
        # What the next start does first.
        check_folder(out, overwrite=False)
        sweep_temporary()
        assert not out.exists()
    else:
        assert (status, error) == (143, "whs-fast: interrupted: nothing was written\n")
        assert not out.parent.exists()
    assert list(temporary.iterdir()) == [] and [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_signal_while_results_are_written_leaves_those_that_were_there(tmp_path, temporary):
    out = tmp_path / "out"
    out.mkdir()
    before = {"labels.nii.gz": b"old", "preview.png": b"old", "measurements.json": b"{}"}
    for name, content in before.items():
        (out / name).write_bytes(content)
    patch = """
        def half(_, path, *arguments, **options):
            path.write_bytes(b"half")
            pause()
        at("whs_fast.writing.label_maps", "write_labels", half)
    """
    status, error = interrupt(patch, ["demo", "-o", out, "--overwrite"], signal.SIGTERM)
    assert (status, error) == (143, "whs-fast: interrupted: nothing was written\n")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert list(temporary.iterdir()) == [] and {path.name for path in tmp_path.iterdir()} == {"temporary", "out"}


def test_further_signals_do_not_cut_the_clearing_up_short(study, tmp_path, temporary):
    patch = f"""
        {WHILE_READING}
        def remove(before, *arguments, **options):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            before(*arguments, **options)
        at("shutil", "rmtree", remove)

        class Late:  # when Python itself answers no signal any more
            def __init__(self):
                self.kill, self.to = os.kill, (os.getpid(), signal.SIGTERM)
            def __del__(self):
                self.kill(*self.to)
        late = Late()
    """
    command = ["run", study, "-o", tmp_path / "out", "--threads", "1"]
    status, error = interrupt(patch, command, signal.SIGTERM)
    assert (status, error) == (143, "whs-fast: interrupted: nothing was written\n")
    assert list(temporary.iterdir()) == []


def test_signals_while_results_are_moved_in_put_the_earlier_ones_back(tmp_path):
    program = """
import os, signal, sys
from pathlib import Path
from whs_fast.cli import signals
from whs_fast.writing.result_folder import written_aside

rename, calls = os.rename, []

def interrupted(*paths):
    calls.append(paths)
    if len(calls) > 1:
        os.kill(os.getpid(), signal.SIGTERM)
    rename(*paths)

signals.listen()
try:
    with written_aside(Path(sys.argv[1]), overwrite=True) as aside:
        for name in ("labels.nii.gz", "measurements.json"):
            (aside / name).write_text("new")
        os.rename = interrupted
except KeyboardInterrupt:
    sys.exit(signals.status())
"""
    for name in ("labels.nii.gz", "preview.png", "measurements.json"):
        (tmp_path / name).write_text("old")
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False).returncode == 143
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        ("labels.nii.gz", "preview.png", "measurements.json"), "old"
    )


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_during_the_first_imports_has_its_line_too(tmp_path, number, status):
    (tmp_path / "click.py").write_text(f"import time\n{PAUSE}\npause()")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    found = interrupt("", ["--help"], number, environment={"PYTHONPATH": path})
    assert found == (status, "whs-fast: interrupted\n")


def test_a_signal_that_a_finaliser_swallows_comes_again(study, tmp_path):
    patch = """
        class Closing:
            def __del__(self):
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.1)
        def lose(*_, **__):
            Closing()
            pause()
        at("whs_fast.reading.dicom.series", "arrange", lose)
    """
    status, error = interrupt(patch, ["run", study, "-o", tmp_path / "out", "--threads", "1"])
    assert (status, error) == (143, "whs-fast: interrupted: nothing was written\n")


def test_a_signal_that_turns_into_another_error_is_still_an_interrupt(study, tmp_path):
    patch = """
        def turn(*_, **__):
            try:
                pause()
            except KeyboardInterrupt:
                raise ImportError("half loaded")
        at("whs_fast.reading.dicom.series", "arrange", turn)
    """
    status, error = interrupt(patch, ["run", study, "-o", tmp_path / "out", "--threads", "1"], signal.SIGTERM)
    assert (status, error) == (143, "whs-fast: interrupted\n")


def test_a_signal_that_was_ignored_from_the_start_stays_so(study, tmp_path):
    """As nohup has it. Of signals that wait together, Python answers the one of the lowest number, SIGHUP, first."""
    command = ["run", study, "-o", tmp_path / "out", "--threads", "1"]
    numbers = (signal.SIGHUP, signal.SIGTERM)
    assert interrupt(WHILE_READING, command, *numbers, ignored=[signal.SIGHUP])[0] == 143


WORK = {
    "bench": ("whs_fast.cli.benchmarking", "make_scan", []),
    "series": ("whs_fast.reading.scan", "list_series", ["scan"]),
    "measure": ("whs_fast.machine", "choose_threads", ["labels.nii.gz"]),
    "info": ("whs_fast.machine", "cpu_features", []),
}


@pytest.mark.parametrize("name", WORK)
def test_other_commands_end_alike(name, temporary):
    module, function, arguments = WORK[name]
    assert name in COMMANDS
    patch = f"at({module!r}, {function!r}, lambda *_, **__: pause())"
    status, error = interrupt(patch, [name, *arguments], signal.SIGTERM)
    assert (status, error.splitlines()[-1]) == (143, "whs-fast: interrupted") and "Traceback" not in error
    assert list(temporary.iterdir()) == []


def test_a_program_that_calls_the_command_line_keeps_its_handlers_and_streams(capsys):
    def handlers():
        return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]

    before = handlers(), sys.stdout, sys.stderr, sys.unraisablehook
    assert main(["--version"]) == 0
    assert (handlers(), sys.stdout, sys.stderr, sys.unraisablehook) == before


PHANTOM = make_phantom(spacing_mm=(2.4, 2.4, 2.5), shape=(68, 76, 74))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.mark.parametrize(
    ("after", "line"),
    [
        (0, "nothing was written"),
        (1, "phase 5% was written, 35% and 75% were not"),
        (2, "phases 5% and 35% were written, 75% was not"),
    ],
)
def test_all_phases_interrupted_say_which_were_written(after, line, models, tmp_path, capsys, monkeypatch):
    for phase, percent in enumerate((5, 35, 75)):

        def edit(index, image, percent=percent):
            image.NominalPercentageOfCardiacPhase = float(percent)
            image.SeriesInstanceUID = f"{dicom_cases.ROOT}.1"
            return image

        write(PHANTOM, tmp_path / "study", series=f"1.{phase}", edit=edit)
    out = tmp_path / "out"
    run, told = engine_module.Engine.run, []

    def run_some(*arguments, **options):
        if len(told) == after:
            raise KeyboardInterrupt
        told.append(1)
        return run(*arguments, **options)

    monkeypatch.setattr(engine_module.Engine, "run", run_some)
    monkeypatch.setattr(engine_module, "models_folder", lambda: models)
    assert main(["run", str(tmp_path / "study"), "-o", str(out), "--phase", "all"]) == 130
    assert without_progress(capsys.readouterr().err) == f"whs-fast: interrupted: {line}\n"
    written = [name for name in ("phase_5", "phase_35", "phase_75") if Path(out / name / "measurements.json").exists()]
    assert len(written) == after


def test_an_interrupt_after_the_results_are_in_place_says_so(models, tmp_path, capsys, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("whs_fast.cli.segmenting._tell", interrupted)
    monkeypatch.setattr(engine_module, "models_folder", lambda: models)
    folder = write(PHANTOM, tmp_path / "series")
    assert main(["run", str(folder), "-o", str(tmp_path / "out")]) == 130
    assert without_progress(capsys.readouterr().err) == "whs-fast: interrupted: all results were written\n"
    assert (tmp_path / "out" / "measurements.json").exists()
