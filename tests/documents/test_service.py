"""docs/service.md: `whs-fast serve` as its commands start it, and what its lines of curl do with it."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib import resources

import pytest
from support.documents import SERVICE, claimed_by
from support.programs import need
from support.waiting import answers, free_port, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="as the service")]


class Served:
    """A service that a command of the documents starts, at a free port and over a queue of its own."""

    def __init__(self, command, folder, number):
        self.port, self.log = free_port(), folder / f"log_{number}"
        options = ["--port", str(self.port), "--queue", str(folder / f"queue_{number}")]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "whs_fast", *command[1:], *options], stdout=log, stderr=log
            )

    @property
    def token(self):
        return re.search(r"/#(\S+)", self.log.read_text())[1]


@pytest.fixture
def served(tmp_path):
    """The services by their commands, all at once."""
    (tmp_path / "data" / "scans").mkdir(parents=True)
    sample = resources.files("whs_fast") / "data" / "sample.nii.gz"
    for place in ("scan.nii.gz", "data/scans/a.nii.gz"):
        shutil.copy(sample, tmp_path / place)
    commands = [example.text for example in claimed_by(SERVICE) if example.text.startswith("whs-fast serve")]
    moved = [shlex.split(command.replace("/data/scans", f"{tmp_path}/data/scans")) for command in commands]
    services = [Served(command, tmp_path, number) for number, command in enumerate(moved)]
    try:
        for service in services:
            wait_for(lambda service=service: service.process.poll() is not None or answers(service.port))
        yield dict(zip(commands, services, strict=True))
    finally:
        for service in services:
            service.process.terminate()
        assert [service.process.wait(30) for service in services] == [0] * len(services)


def test_a_scan_goes_to_the_service_and_results_come_back_by_curl(served, tmp_path):
    need("curl")
    service = served["whs-fast serve --allow-folder /data/scans"]
    variables = os.environ | {"TOKEN": service.token}
    lines = [example.text for example in claimed_by(SERVICE) if example.text.startswith("curl")]
    assert len(lines) == 4
    here = {"127.0.0.1:8000": f"127.0.0.1:{service.port}", "/data/scans": f"{tmp_path}/data/scans"}
    for line in lines:
        for named, meant in here.items():
            line = line.replace(named, meant)
        done = subprocess.run(
            ["bash", "-c", f"set -e; {line} --fail --silent --show-error"],
            env=variables, cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stderr}\n{service.log.read_text()}"
        if line.endswith("/api/jobs"):
            variables["ID"] = json.loads(done.stdout)["id"]
        elif "-N" in line:
            told = [json.loads(text[6:]) for text in done.stdout.splitlines() if text.startswith("data: ")]
            assert told[-1]["state"] == "done" and "meshes/aorta.stl" in told[-1]["results"]
    assert (tmp_path / "labels.nii.gz").read_bytes()[:2] == b"\x1f\x8b"
