"""The service as a process of its own: killed, started again, and many at once."""

import json
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from support.browser import browser_page
from support.phantom import make_models
from support.programs import need
from support.waiting import answers, free_port, wait_for

pytestmark = pytest.mark.slow


# The command line, with the networks of a folder.
PROGRAM = """
import sys
from pathlib import Path
from whs_fast import engine
from whs_fast.cli import main
models = Path(sys.argv.pop(1))
engine.models_folder = lambda: models
sys.exit(main())
"""


class Process:
    """`whs-fast serve` over one folder; it may be killed and started again."""

    def __init__(self, folder, scan):
        self.folder, self.scan, self.port, self.process = folder, scan, free_port(), None
        self.models = make_models(folder)
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self):
        command = [sys.executable, "-c", PROGRAM, self.models, "serve", "--port", str(self.port), "--threads", "2"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--queue", str(self.folder / "queue"), "--owner", "alice", "--owner", "bob"],
                stdout=log,
                stderr=log,
            )
        wait_for(lambda: self.process.poll() is not None or answers(self.port))
        wait_for(lambda: "INFO queue:" in self.log)

    def kill(self):
        self.process.kill()
        assert self.process.wait(10) == -signal.SIGKILL

    @property
    def log(self):
        return (self.folder / "log").read_text()

    def token(self, owner):
        return re.search(rf"Token of {owner}, told only now: (\S+)", self.log)[1]

    def ask(self, method, path, owner="alice", **how):
        headers = {"Authorization": f"Bearer {self.token(owner)}"}
        return requests.request(method, self.url + path, headers=headers, timeout=60, **how)

    def jobs(self, owner):
        return {job["id"]: job for job in self.ask("GET", "/api/jobs", owner).json()}

    def send(self, owner):
        files = {"file": ("Doe^Jane.nii.gz", self.scan.read_bytes())}
        answer = self.ask("POST", "/api/jobs", owner, files=files)
        assert answer.status_code == 201
        return answer.json()["id"]

    def memory_mb(self):
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) / 1000


@pytest.fixture
def process(tmp_path, scan):
    process = Process(tmp_path, scan)
    process.start()
    yield process
    if process.process.poll() is None:
        process.process.kill()
        process.process.wait(10)


def test_twenty_uploads_by_two_browsers_and_curl_and_two_deaths_and_each_job_ends_once(process):
    with browser_page() as alices, browser_page() as bobs:
        pages = {"alice": alices, "bob": bobs}
        for owner, page in pages.items():
            page.send("Page.navigate", url=f"{process.url}/#{process.token(owner)}")
            page.wait_for("document.getElementById('inside')?.hidden === false")
        header = f"Authorization: Bearer {process.token('alice')}"
        command = [need("curl"), "-sf", "-H", header, "-F", f"file=@{process.scan}", process.url + "/api/jobs"]
        with ThreadPoolExecutor(6) as pool:
            curls = [pool.submit(subprocess.run, command, check=True, capture_output=True) for _ in range(6)]
            for _ in range(7):
                for page in pages.values():
                    page.choose_files("#files", process.scan)
        sent = [json.loads(curl.result().stdout)["id"] for curl in curls]
        wait_for(lambda: len(process.jobs("alice")) == 13 and len(process.jobs("bob")) == 7)
        assert set(sent) < process.jobs("alice").keys()
        assert not process.jobs("alice").keys() & process.jobs("bob").keys()
        for least in (1, 4):
            wait_for(lambda least=least: process.log.count(" done in ") >= least, 120)
            process.kill()
            process.start()
        kept = {}

        def all_ended():
            for job in (*process.jobs("alice").values(), *process.jobs("bob").values()):
                assert kept.setdefault(job["id"], job) == job or not kept[job["id"]]["ended"]
                kept[job["id"]] = job
            return all(job["ended"] for job in kept.values())

        wait_for(lambda: process.log.count(" done in ") >= 6, 120)
        before = process.memory_mb()
        wait_for(all_ended, 600)
        assert process.memory_mb() - before < 60
        assert [job["state"] for job in kept.values()] == ["done"] * 20
        # The pages were there all the time, and have found the service again by themselves.
        for page, count in ((alices, 13), (bobs, 7)):
            states = "[...document.querySelectorAll('.state')].map(state => state.textContent)"
            page.wait_for(f"{states}.length === {count} && {states}.every(text => text === 'Done')")
    told = re.findall(r"job (\w{16}) done", process.log)
    # One that was done when the process died, and had not said so yet, is not run again.
    assert len(told) == len(set(told)) and set(told) <= kept.keys() and len(told) >= 18
    labels = {
        process.ask("GET", f"/api/jobs/{job}/results/labels.nii.gz", owner).content
        for owner in pages
        for job in process.jobs(owner)
    }
    assert len(labels) == 1
    assert "Doe" not in process.log and process.log.count("Token of") == 2
    assert list((process.folder / "queue" / "partial").iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory as Linux tells it")
def test_memory_stays_flat_over_many_scans_and_large_uploads(process):
    def run_one():
        job = process.send("alice")
        wait_for(lambda: process.ask("GET", f"/api/jobs/{job}").json()["ended"], 120)
        assert process.ask("DELETE", f"/api/jobs/{job}").status_code == 204

    for _ in range(4):
        run_one()
    before = process.memory_mb()
    for _ in range(8):
        run_one()
    # 400 MB go through; were they held in memory, it would show.
    process.ask("POST", "/api/jobs", files={"file": ("noise.nii", os.urandom(400 << 20))})
    assert process.memory_mb() - before < 60


def test_sigterm_ends_it_cleanly_in_the_middle_of_a_run(process):
    job = process.send("alice")
    with requests.get(process.url + "/", stream=True, timeout=20):
        wait_for(lambda: process.ask("GET", f"/api/jobs/{job}").json()["state"] == "running")
        process.process.terminate()
        assert process.process.wait(20) == 0
    assert "stopped; queue: 1 queued, 0 running" in process.log
