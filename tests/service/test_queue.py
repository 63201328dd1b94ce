"""The queue on disk: what a process leaves that dies at any moment, who may see what, and the limits."""

import json
import time
from dataclasses import replace

import pytest
from whs_fast.errors import InputError
from whs_fast.service.queue import MOST_ATTEMPTS, CancelledError, Limits, Queue, RefusedError, Request

LIMITS = Limits(upload=100_000, disk=250_000, jobs=3)


@pytest.fixture
def open_queue(tmp_path):
    """Opens the same folder again and again, as a process does that dies without closing anything."""
    opened = []

    def open_one(limits=LIMITS):
        for queue in opened:
            queue.close()
        opened.append(Queue(tmp_path / "queue", limits))
        return opened[-1]

    yield open_one
    for queue in opened:
        queue.close()


def add(queue, owner="alice", size=10, **asked):
    with queue.receiving() as folder:
        (folder / "scan").mkdir()
        queue.take(folder, size)
        (folder / "scan" / "00000.nii.gz").write_bytes(b"x" * size)
        return queue.add(owner, Request(**asked), folder)


def leave_results(queue, job):
    (queue.folder(job) / "results").mkdir()
    (queue.folder(job) / "results" / "measurements.json").write_text("{}")


def test_jobs_run_in_the_order_they_came(open_queue):
    queue = open_queue()
    jobs = [add(queue) for _ in range(3)]
    assert [queue.before(job) for job in jobs] == [0, 1, 2]
    assert [queue.begin().id for _ in jobs] == [job.id for job in jobs]
    assert queue.begin() is None


def test_what_waits_is_there_after_the_process_died(open_queue):
    job = add(open_queue(), formats=("nifti", "stl"), series="1.2", phase="35")
    again = open_queue()
    assert again.begin() == replace(job, state="running", attempts=1)
    assert (again.folder(job) / "scan" / "00000.nii.gz").read_bytes() == b"x" * 10


def test_a_run_that_died_is_run_again_and_given_up_after_a_while(open_queue):
    queue = open_queue()
    job = add(queue)
    for attempt in range(1, MOST_ATTEMPTS + 1):
        assert queue.begin().attempts == attempt
        queue = open_queue()
    assert queue.begin() is None
    assert "died 5 times" in queue.find("alice", job.id).reason
    assert not (queue.folder(job) / "scan").exists()


def test_results_that_were_in_place_when_it_died_are_not_made_again(open_queue):
    queue = open_queue()
    job = queue.begin() if add(queue) else None
    leave_results(queue, job)
    queue = open_queue()
    assert queue.begin() is None
    assert queue.find("alice", job.id).state == "done"
    assert not (queue.folder(job) / "scan").exists() and (queue.folder(job) / "results").exists()


def test_a_stop_is_no_attempt(open_queue):
    queue = open_queue()
    add(queue)
    queue.put_back(queue.begin())
    assert queue.begin().attempts == 1


def test_a_job_ends_once(open_queue):
    queue = open_queue()
    job = queue.begin() if add(queue) else None
    assert queue.cancel("alice", job.id).state == "cancelled"
    with pytest.raises(CancelledError):
        queue.report(job, "segment", 0.5)
    leave_results(queue, job)
    queue.end(job, "done")
    assert queue.find("alice", job.id).state == "cancelled"
    assert sorted(path.name for path in queue.folder(job).iterdir()) == ["job.json"]
    ended = open_queue().find("alice", job.id)
    assert queue.cancel("alice", job.id) == ended and ended.state == "cancelled"


def test_what_was_being_received_when_it_died_goes(open_queue):
    queue = open_queue()
    (queue.partial / "half").mkdir()
    (queue.partial / "half" / "file").write_bytes(b"x")
    assert list(open_queue().partial.iterdir()) == []


def test_a_job_is_its_owners_alone(open_queue):
    queue = open_queue()
    job = add(queue, "alice")
    for attempt in (queue.find, queue.cancel, queue.remove):
        with pytest.raises(RefusedError, match="no such job") as refused:
            attempt("bob", job.id)
        assert refused.value.status == 404
    assert queue.jobs("bob") == [] and queue.jobs("alice") == [job]


def test_no_path_is_kept_of_a_job_that_has_ended(open_queue):
    queue = open_queue()
    job = add(queue, source="/scans/Doe^Jane.nii.gz")
    queue.end(queue.begin(), "failed", "no")
    assert "Doe" not in (queue.folder(job) / "job.json").read_text()


def test_only_a_job_that_has_ended_is_removed(open_queue):
    queue = open_queue()
    job = add(queue)
    running = queue.begin()
    for _ in range(2):
        with pytest.raises(RefusedError) as refused:
            queue.remove("alice", job.id)
        assert refused.value.status == 409
        queue.cancel("alice", job.id)  # it still runs
    queue.end(running, "cancelled")
    queue.remove("alice", job.id)
    assert not queue.folder(job).exists() and list(queue.partial.iterdir()) == []


def test_there_is_a_most_of_jobs_and_what_is_being_received_counts(open_queue):
    queue = open_queue()
    add(queue), add(queue)
    with queue.receiving():
        with pytest.raises(RefusedError, match="3 jobs are waiting") as refused, queue.receiving():
            pass
        assert refused.value.status == 429
    add(queue)


def test_there_is_a_most_of_an_upload(open_queue):
    queue = open_queue()
    with queue.receiving() as folder:
        queue.take(folder, LIMITS.upload)
        with pytest.raises(RefusedError, match="larger than the limit") as refused:
            queue.take(folder, 1)
        assert refused.value.status == 413


def test_there_is_a_most_of_the_disk_and_what_goes_makes_room(open_queue):
    queue = open_queue()
    first, _ = add(queue, size=90_000), add(queue, size=90_000)
    queue = open_queue()  # weighs what is there
    with pytest.raises(RefusedError, match="disk of the service is full") as refused:
        add(queue, size=90_000)
    assert refused.value.status == 507
    queue.cancel("alice", first.id)
    add(queue, size=90_000)


def test_what_is_old_goes_and_what_is_not_stays(open_queue):
    queue = open_queue()
    old, new, waiting = add(queue), add(queue), add(queue)
    for job in (old, new):
        queue.begin()
        leave_results(queue, job)
        queue.end(job, "done")
    text = json.loads((queue.folder(old) / "job.json").read_text())
    (queue.folder(old) / "job.json").write_text(json.dumps(text | {"ended": time.time() - 100}))
    queue = open_queue()
    assert queue.sweep(time.time() - 50) == 1
    assert {job.id for job in queue.jobs("alice")} == {new.id, waiting.id}


def test_two_services_do_not_share_a_queue(open_queue, tmp_path):
    open_queue()
    with pytest.raises(InputError, match="another service is using this queue"):
        Queue(tmp_path / "queue", LIMITS)


def test_nobody_else_may_read_it(open_queue, tmp_path):
    queue = open_queue()
    add(queue)
    folders = [path for path in (tmp_path / "queue", *(tmp_path / "queue").iterdir()) if path.is_dir()]
    assert {path.stat().st_mode & 0o77 for path in folders} == {0}
