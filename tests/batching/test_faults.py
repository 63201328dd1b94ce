"""What dies on the way: workers, the scheduler, the disk. Every good scan is done once, every bad one has its row."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.batches import Site, labels_of, read_table, same_labels, stamps, without_clock, write_phantom
from support.waiting import answers, free_port, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals and mounts as Linux has them"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return Site(tmp_path_factory.mktemp("site"))


@pytest.fixture(autouse=True)
def fresh_log(site):
    site.log.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Six scans that take a moment to open, which is written down."""
    folder = tmp_path_factory.mktemp("scans")
    for seed in range(6):
        write_phantom(folder / f"slow_{seed}.nii.gz", seed)
    return folder


@pytest.fixture(scope="module")
def undisturbed(site, scans, tmp_path_factory):
    output = tmp_path_factory.mktemp("undisturbed")
    assert site.run("batch", scans, "-o", output)[0] == 0
    return output


def assert_as_undisturbed(output, undisturbed):
    assert without_clock(read_table(output)) == without_clock(read_table(undisturbed))
    assert same_labels(labels_of(output), labels_of(undisturbed)) and len(labels_of(output)) == 6
    assert not [path for path in output.rglob("*") if path.suffix == ".tries" or "partial" in path.name]


def test_a_worker_killed_in_the_middle_costs_nothing_but_time(site, scans, undisturbed, tmp_path):
    process = site.start("batch", scans, "-o", tmp_path, "--workers", 2)
    wait_for(lambda: len(site.begun()) >= 3, 120)
    os.kill(int(site.begun()[-1][0]), signal.SIGKILL)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0 and "whs-fast:" not in errors and "Traceback" not in errors
    assert_as_undisturbed(tmp_path, undisturbed)
    # The killed worker's scan was begun twice, and no other.
    assert len({name for _, name in site.begun()}) == 6 and len(site.begun()) == 7


def test_a_scan_that_kills_its_workers_is_tried_twice_and_stops_nothing(site, scans, undisturbed, tmp_path):
    own = shutil.copytree(scans, tmp_path / "own")
    for name in ("poison_1", "poison_2"):
        write_phantom(own / f"{name}.nii.gz")
    status, _, errors = site.run("batch", own, "-o", tmp_path / "out", "--workers", 2)
    rows = read_table(tmp_path / "out")
    assert [(row["id"], row["status"]) for row in rows if row["status"] != "done"] == [
        ("poison_1", "failed"),
        ("poison_2", "failed"),
    ]
    assert {row["reason"] for row in rows[:2]} == {"ended its worker 2 times, by a crash or for lack of memory"}
    assert status == 4 and len(errors) == 1
    assert len(labels_of(tmp_path / "out")) == 6


def test_interrupted_and_called_again_each_scan_is_done_once(site, scans, undisturbed, tmp_path):
    process = site.start("batch", scans, "-o", tmp_path, "--workers", 1)
    wait_for(lambda: len(list((tmp_path / "rows").glob("*.json"))) >= 2, 120)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 143 and errors.splitlines()[-1].startswith("whs-fast: interrupted")
    assert "Traceback" not in errors
    before = stamps(tmp_path)
    assert 2 <= len(before) < 6 and 1 <= len(read_table(tmp_path)) <= len(before)
    assert site.run("batch", scans, "-o", tmp_path)[0] == 0
    assert stamps(tmp_path).items() >= before.items()
    assert_as_undisturbed(tmp_path, undisturbed)


def test_a_killed_batch_leaves_no_worker_and_goes_on(site, scans, undisturbed, tmp_path):
    process = site.start("batch", scans, "-o", tmp_path, "--workers", 2)
    wait_for(lambda: len(list((tmp_path / "rows").glob("*.json"))) >= 2, 120)
    workers = {int(number) for number, _ in site.begun()}
    process.kill()
    process.communicate(timeout=60)
    wait_for(lambda: not any(Path(f"/proc/{number}").exists() for number in workers), 60)
    before = stamps(tmp_path)
    assert site.run("batch", scans, "-o", tmp_path)[0] == 0
    assert stamps(tmp_path).items() >= before.items()
    assert_as_undisturbed(tmp_path, undisturbed)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_ends_the_batch_and_with_room_it_goes_on(site, scans, undisturbed, small_disk):
    status, _, errors = site.run("batch", scans, "-o", small_disk / "out", "--workers", 2)
    assert status == 3 and len(errors) == 1 and "No space left on device" in errors[0]
    before = stamps(small_disk / "out")
    assert len(before) < 6
    for name in before:  # what has a record is whole
        assert (small_disk / "out" / "scans" / name.removesuffix(".json") / "measurements.json").exists()
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    assert site.run("batch", scans, "-o", small_disk / "out")[0] == 0
    assert stamps(small_disk / "out").items() >= before.items()
    assert_as_undisturbed(small_disk / "out", undisturbed)


class Cluster:
    """A cluster from Dask's own command line: a scheduler and two workers, in processes of their own."""

    def __init__(self, site, folder, port):
        self.site, self.folder, self.port, self.processes = site, folder, port, []

    def start(self):
        def begin(*arguments):
            command = [sys.executable, "-m", "dask", *map(str, arguments)]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            self.processes.append(subprocess.Popen(command, env=self.site.environment, cwd=self.folder, **quiet))

        begin("scheduler", "--host", "127.0.0.1", "--port", self.port, "--no-dashboard", "--no-show")
        wait_for(lambda: answers(self.port), 120)
        for _ in range(2):
            options = ["--nthreads", 1, "--no-dashboard", "--death-timeout", 60]
            begin("worker", f"tcp://127.0.0.1:{self.port}", *options, "--local-directory", self.folder)

    def stop(self, number=signal.SIGTERM):
        for process in self.processes:
            process.send_signal(number)
        for process in self.processes:
            process.wait(60)
        self.processes.clear()


@pytest.fixture
def cluster(site, tmp_path):
    cluster = Cluster(site, tmp_path, free_port())
    cluster.start()
    yield cluster
    cluster.stop(signal.SIGKILL)


def test_a_cluster_started_by_hand_takes_the_work(site, scans, cluster, undisturbed, tmp_path):
    output = tmp_path / "out"
    assert site.run("batch", scans, "-o", output, "--scheduler", f"tcp://127.0.0.1:{cluster.port}")[0] == 0
    assert_as_undisturbed(output, undisturbed)
    assert len({process for process, _ in site.begun()[-6:]}) == 2


def test_a_scheduler_that_is_started_again_gets_what_is_left(site, scans, cluster, undisturbed, tmp_path):
    output = tmp_path / "out"
    process = site.start("batch", scans, "-o", output, "--scheduler", f"tcp://127.0.0.1:{cluster.port}")
    wait_for(lambda: len(list((output / "rows").glob("*.json"))) >= 2, 120)
    cluster.stop(signal.SIGKILL)
    before = stamps(output)
    assert len(before) < 6
    cluster.start()
    _, errors = process.communicate(timeout=240)
    assert (process.returncode, "Traceback" in errors) == (0, False), errors
    assert stamps(output).items() >= before.items()
    assert_as_undisturbed(output, undisturbed)
