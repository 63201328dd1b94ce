"""The loss of standard output or standard error costs nobody the results."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk
from support.phantom import make_models, make_phantom, to_image

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its console is another kind of stream")

PROGRAM = """
import sys
from pathlib import Path
from whs_fast import engine
from whs_fast.cli import main
models = Path(sys.argv.pop(1))
engine.models_folder = lambda: models
sys.exit(main())
"""
FULL = Path("/dev/full")
RESULTS = {"labels.nii.gz", "measurements.json", "preview.png", "report.html"}


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """A run of the phantom, but for its folder."""
    folder = tmp_path_factory.mktemp("phantom")
    sitk.WriteImage(to_image(make_phantom()), folder / "scan.nii.gz")
    models = make_models(folder)
    return [sys.executable, "-c", PROGRAM, str(models), "run", str(folder / "scan.nii.gz"), "-o"]


def assert_whole(folder):
    assert {path.name for path in folder.iterdir()} == RESULTS
    assert json.loads((folder / "measurements.json").read_text("utf-8"))["schema"] == 1


@pytest.mark.parametrize("options", [["--json"], []], ids=["json", "plain"])
def test_a_pipe_that_is_closed_loses_no_result(command, tmp_path, options):
    """As `head -1` does it."""
    out = tmp_path / "out"
    with subprocess.Popen([*command, str(out), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        if options:
            assert json.loads(process.stdout.readline())["event"] == "progress"
        process.stdout.close()
        error = process.stderr.read()
    assert process.returncode == 0 and b"whs-fast:" not in error and b"Error" not in error
    assert_whole(out)


@pytest.mark.skipif(not FULL.exists(), reason="the system has no such file")
def test_a_full_disk_under_standard_output_loses_no_result_and_is_status_3(command, tmp_path):
    out = tmp_path / "out"
    with FULL.open("w") as full:
        done = subprocess.run([*command, str(out), "--json"], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 3
    assert done.stderr.endswith(b"whs-fast: standard output cannot be written (No space left on device)\n")
    assert_whole(out)


def test_standard_error_that_is_gone_loses_no_result(command, tmp_path):
    out = tmp_path / "out"
    with subprocess.Popen([*command, str(out), "-v"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stderr.close()
        said = process.stdout.read()
    assert process.returncode == 0 and str(out / "report.html").encode() in said
    assert_whole(out)


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_command_that_fails_keeps_its_status_without_a_stream(tmp_path, name):
    with FULL.open("w") as full:
        command = [sys.executable, "-m", "whs_fast", "series", str(tmp_path / "gone.zip")]
        assert subprocess.run(command, check=False, **{name: full}).returncode == 2


def test_no_file_takes_the_place_of_a_closed_stream(tmp_path):
    """What libraries print would end up in it."""
    program = (
        "import sys; from whs_fast.cli import streams; streams.guard(); file = open(sys.argv[1], 'w');"
        "file.write(str(file.fileno())); print('text'); print('text', file=sys.stderr)"
    )

    def close() -> None:
        for number in range(3):
            os.close(number)

    command = [sys.executable, "-c", program, str(tmp_path / "file")]
    assert subprocess.run(command, preexec_fn=close, check=False).returncode == 0
    assert int((tmp_path / "file").read_text()) > 2


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["info"]])
def test_any_command_may_be_read_in_part(arguments):
    with subprocess.Popen(
        [sys.executable, "-m", "whs_fast", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        error = process.stderr.read()
    assert (process.returncode, error) == (0, b"")
