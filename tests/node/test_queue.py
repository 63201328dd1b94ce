"""The node's queue: whatever moment the process dies at, a series is run and its results are sent."""

import stat

import pytest
from whs_fast.errors import InputError, OutputError
from whs_fast.node.queue import Queue

SERIES = "1.2.826.0.1.3680043.2.1125.1"


@pytest.fixture
def queue(tmp_path):
    queue = Queue(tmp_path / "queue")
    yield queue
    queue.close()


def receive(queue, *instances, series=SERIES, content=b"an instance"):
    for instance in instances:
        file = queue.partial / f"received-{instance}"
        file.write_bytes(content)
        name = queue.add(file, series, instance)
    return name


def results(queue, job):
    folder = queue.partial / job
    folder.mkdir()
    (folder / "labels.dcm").write_bytes(b"labels")
    return folder


def reopened(queue):
    """What a process finds that starts after the one before was killed."""
    queue.close()
    return Queue(queue.partial.parent)


def test_the_way_of_a_series(queue):
    series = receive(queue, "1", "2", "3")
    assert queue.incoming() == [series] and queue.begin() is None
    job = queue.promote(series)
    assert queue.incoming() == [] and queue.promote(series) is None
    found, folder, attempt = queue.begin()
    assert (found, attempt, len(list(folder.iterdir()))) == (job, 1, 3)
    assert queue.outgoing() == []
    queue.finish(job, results(queue, job))
    (sent,) = queue.outgoing()
    assert sent.name == job and [path.name for path in sent.iterdir()] == ["labels.dcm"]
    assert queue.begin() is None and not folder.exists() and not list(queue.partial.iterdir())
    assert queue.counts() == {"incoming": 0, "ready": 0, "outgoing": 1, "failed": 0}


def test_nothing_is_lost_when_the_process_dies(queue):
    receive(queue, "1", "2")
    queue = reopened(queue)
    (series,) = queue.incoming()
    receive(queue, "3")
    job = queue.promote(series)
    queue = reopened(queue)
    assert queue.begin()[0] == job
    (queue.partial / "half a result").write_bytes(b"")
    queue = reopened(queue)
    assert not list(queue.partial.iterdir())
    found, folder, attempt = queue.begin()
    assert (found, attempt, len(list(folder.iterdir()))) == (job, 2, 3)
    queue.finish(job, results(queue, job))
    queue = reopened(queue)
    assert [path.name for path in queue.outgoing()] == [job]
    queue.close()


def test_results_in_place_are_not_made_again(queue):
    job = queue.promote(receive(queue, "1", "2"))
    queue.begin()
    # What finish does first; then the process dies.
    results(queue, job).rename(queue.partial.parent / "outgoing" / job)
    assert queue.outgoing() == []  # or all could be sent before the series is gone, and it would be run again
    queue = reopened(queue)
    assert queue.begin() is None and [path.name for path in queue.outgoing()] == [job]
    queue.close()


def test_an_instance_that_comes_again_replaces_itself(queue):
    receive(queue, "1", content=b"first")
    job = queue.promote(receive(queue, "1", content=b"second"))
    (file,) = (queue.partial.parent / "ready" / job).iterdir()
    assert file.read_bytes() == b"second"


def test_a_series_that_failed_keeps_its_reason(queue):
    job = queue.promote(receive(queue, "1"))
    queue.begin()
    queue.fail(job, "found a single slice")
    failed = queue.partial.parent / "failed"
    assert (failed / f"{job}.txt").read_text() == "found a single slice\n"
    assert len(list((failed / job).iterdir())) == 1
    assert queue.begin() is None and queue.counts()["failed"] == 1


def test_more_of_a_series_that_failed_is_joined_to_it(queue):
    other = queue.promote(receive(queue, "1", series="1.2.3"))
    queue.begin()
    queue.fail(other, "another")
    job = queue.promote(receive(queue, "1", "2"))
    queue.begin()
    queue.fail(job, "found gaps")
    again = queue.promote(receive(queue, "2", "3", content=b"later"))
    found, folder, attempt = queue.begin()
    assert (found, attempt) == (again, 1)
    assert sorted(path.read_bytes() for path in folder.iterdir()) == [b"an instance", b"later", b"later"]
    failed = queue.partial.parent / "failed"
    assert sorted(path.name for path in failed.iterdir()) == sorted([other, f"{other}.txt"])


def test_more_of_a_series_that_waits_is_joined_but_not_to_one_that_runs(queue):
    first = queue.promote(receive(queue, "1", "2"))
    second = queue.promote(receive(queue, "3"))
    found, folder, _ = queue.begin()
    assert found == second != first and len(list(folder.iterdir())) == 3
    third = queue.promote(receive(queue, "4"))
    assert third != second and len(list(folder.iterdir())) == 3
    queue.finish(second, results(queue, second))
    assert queue.begin()[0] == third


def test_begun_again_and_again_is_counted_but_not_when_it_was_stopped(queue):
    job = queue.promote(receive(queue, "1"))
    for expected in (1, 2, 3):
        assert queue.begin()[2] == expected
        queue = reopened(queue)
    queue.begin()
    queue.put_back(job)
    assert queue.begin() == (job, queue.partial.parent / "ready" / job, 1)
    queue.close()


def test_the_oldest_is_run_first(queue, tmp_path):
    jobs = [queue.promote(receive(queue, "1", series=f"1.{number}")) for number in range(5)]
    for job in jobs:
        assert queue.begin()[0] == job
        queue.finish(job, results(queue, job))
    assert [folder.name for folder in queue.outgoing()] == jobs


def test_names_tell_nothing_and_nobody_else_may_look(queue):
    job = queue.promote(receive(queue, "1.2.3.4711"))
    names = [path.name for path in queue.partial.parent.rglob("*")]
    assert not any(SERIES in name or "4711" in name for name in (*names, job))
    assert stat.S_IMODE(queue.partial.parent.stat().st_mode) == 0o700


def test_two_nodes_do_not_share_a_queue(queue, tmp_path):
    with pytest.raises(InputError, match="another node is using this queue"):
        Queue(queue.partial.parent)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="the queue needs a writable folder"):
        Queue(tmp_path / "file")
