"""What the node takes in and when a series is complete; how it gets on with other programs is in test_peers.py."""

import subprocess

import pydicom
import pytest
from support.local_node import QUIET_S, associate, end, push, push_all, running
from support.programs import need
from support.waiting import wait_for


def test_whom_it_answers(engine, tmp_path, caplog):
    with running(engine, tmp_path, allow=("SENDER", "OTHER")) as node:
        for title in ("SENDER", "OTHER"):
            association = associate(node, title)
            assert association.send_c_echo().Status == 0x0000
            association.release()
        for title, called in (("STRANGER", "WHSFAST"), ("SENDER", "ELSEWHERE")):
            assert not associate(node, title, called).is_established
        wait_for(lambda: caplog.text.count("rejected an association") == 2)
    assert "rejected an association: 'STRANGER' is not among the titles that may call" in caplog.text
    assert "rejected an association: it calls 'ELSEWHERE', and this node is 'WHSFAST' (--aet)" in caplog.text


@pytest.mark.parametrize(
    ("title", "called", "told"),
    [
        ("SENDER", "ANY-SCP", "Called AE title not recognised"),
        ("SENDER", "whsfast", "Called AE title not recognised"),
        ("STRANGER", "ANY-SCP", "Called AE title not recognised"),
        ("ANY-SCU", "WHSFAST", "Calling AE title not recognised"),
    ],
)
def test_who_is_rejected_is_told_which_title_was_wrong(engine, tmp_path, title, called, told):
    with running(engine, tmp_path, allow=("SENDER",)) as node:
        association = associate(node, title, called)
    assert association.is_rejected
    assert association.acceptor.primitive.reason_str == told


@pytest.mark.parametrize("program", ["echoscu", "storescu"])
def test_the_default_title_of_common_clients_is_refused_by_name(engine, series, tmp_path, caplog, program):
    images = [] if program == "echoscu" else [str(min(series.iterdir()))]
    with running(engine, tmp_path) as node:
        command = [need(program), "127.0.0.1", str(node.settings.port), *images]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wait_for(lambda: "rejected an association" in caplog.text)
    assert done.returncode != 0 and "Called AE Title Not Recognized" in done.stderr
    assert "it calls 'ANY-SCP', and this node is 'WHSFAST' (--aet)" in caplog.text


def test_a_series_waits_for_the_end_of_its_associations_and_then_for_the_quiet_time(engine, series, tmp_path):
    paths = sorted(series.iterdir())
    with running(engine, tmp_path) as node:
        association = associate(node)
        push(association, paths[:15])
        node.pass_time(100 * QUIET_S)
        assert len(node.inside("incoming")) == 1
        push(association, paths[15:])
        end(association)
        node.pass_time(0.9 * QUIET_S)
        assert len(node.inside("incoming")) == 1
        node.pass_time(0.1 * QUIET_S)
        assert node.inside("incoming") == []
        (folder,) = wait_for(lambda: node.inside("outgoing"))
        assert len(list((tmp_path / "outgoing" / folder).iterdir())) == 3


def test_what_broke_off_waits_for_the_rest(engine, series, tmp_path):
    paths = sorted(series.iterdir())
    with running(engine, tmp_path) as node:
        association = associate(node)
        push(association, paths[:15])
        end(association, abort=True)
        node.pass_time(9 * QUIET_S)
        assert len(node.inside("incoming")) == 1
        association = associate(node)
        push(association, paths[15:])
        end(association)
        node.pass_time(QUIET_S)
        assert node.inside("incoming") == []
        wait_for(lambda: node.inside("outgoing"))


def test_what_broke_off_is_run_in_the_end(engine, series, tmp_path):
    with running(engine, tmp_path) as node:
        association = associate(node)
        push(association, sorted(series.iterdir()))
        end(association, abort=True)
        node.pass_time(10 * QUIET_S)
        wait_for(lambda: node.inside("outgoing"))


def test_what_was_received_before_a_restart_is_run(engine, series, tmp_path):
    with running(engine, tmp_path, quiet_s=1000 * QUIET_S) as node:
        push_all(node, series)
        (name,) = node.inside("incoming")
    assert len(list((tmp_path / "incoming" / name).iterdir())) == 30
    with running(engine, tmp_path) as node:
        node.pass_time(9 * QUIET_S)
        assert node.inside("incoming") == [name]
        node.pass_time(QUIET_S)
        wait_for(lambda: node.inside("outgoing"))


def test_instances_without_a_series_are_refused(engine, series, tmp_path):
    with running(engine, tmp_path) as node:
        association = associate(node)
        image = pydicom.dcmread(next(series.iterdir()))
        del image.SeriesInstanceUID
        assert association.send_c_store(image).Status == 0xC000
        association.release()
        assert node.inside("incoming") == node.inside("partial") == []
