"""A node between peers that fall silent, stall, repeat themselves or come all at once: it loses and keeps nothing."""

import copy
import gc
import logging
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pydicom
import pytest
from support.local_node import QUIET_S, Archive, associate, end, push, push_all, running
from support.waiting import wait_for
from whs_fast.errors import InputError
from whs_fast.machine import return_memory
from whs_fast.node import receiving

ROOT = "1.2.826.0.1.3680043.2.1125"


class Refusing:
    """An engine that refuses every series, so that each stays with all its instances, set aside."""

    def run(self, folder, progress):
        raise InputError("not wanted")


def raw(node):
    return socket.create_connection(("127.0.0.1", node.settings.port))


def half_sent(association):
    """Sends the beginning of a message, and nothing more."""
    association.dul.socket.socket.sendall(b"\x04\x00\x00\x00\x10\x00" + bytes(100))


def no_acceptors():
    return not any("AcceptorThread" in thread.name for thread in threading.enumerate())


@pytest.fixture
def impatient(monkeypatch):
    """Sockets know no time but the real one."""
    monkeypatch.setattr(receiving, "STALLED_S", 1.0)


def test_peers_that_fall_silent_hold_up_nobody_and_go(engine, series, tmp_path, impatient):
    """Before the association, in the middle of the request for one, and in the middle of an instance."""
    paths = sorted(series.iterdir())
    with running(engine, tmp_path) as node:
        silent, halfway = raw(node), raw(node)
        halfway.sendall(b"\x01\x00\x00\x00\x01\x00" + bytes(50))
        stalled = associate(node, "STALLED")
        push(stalled, paths[:15])
        half_sent(stalled)
        association = associate(node)
        push(association, paths[15:])
        association.release()
        silent.close()
        wait_for(no_acceptors)
        halfway.close()
        node.pass_time(9 * QUIET_S)
        assert len(node.inside("incoming")) == 1  # one sender broke off: it will try again
        push_all(node, series)
        wait_for(lambda: node.inside("outgoing"))
        assert node.inside("incoming") == node.inside("failed") == []


@pytest.mark.slow
class Trickling:
    """A socket that takes a few bytes at a time."""

    def __init__(self, plain):
        self._plain = plain

    def __getattr__(self, name):
        return getattr(self._plain, name)

    def send(self, content):
        threading.Event().wait(0.2)
        return self._plain.send(content[:200])


@pytest.mark.slow
def test_a_slow_sender_is_waited_for(engine, series, tmp_path, monkeypatch):
    """An instance that takes several times as long as a sender may be silent."""
    monkeypatch.setattr(receiving, "STALLED_S", 3.0)
    first, *others = sorted(series.iterdir())
    with running(engine, tmp_path) as node:
        association = associate(node)
        connection = association.dul.socket
        plain = connection.socket
        connection.socket = Trickling(plain)
        push(association, [first])
        connection.socket = plain
        push(association, others)
        end(association)
        node.pass_time(QUIET_S)
        wait_for(lambda: node.inside("outgoing"))


def test_a_message_beyond_all_bounds_takes_no_memory(tmp_path, impatient):
    with running(Refusing(), tmp_path) as node, raw(node) as connection:
        connection.sendall(b"\x01\x00" + (1 << 30).to_bytes(4, "big"))
        connection.settimeout(20)
        with pytest.raises(ConnectionError):
            while True:
                connection.sendall(bytes(1 << 16))
                if connection.recv(100) == b"":
                    raise ConnectionError
        wait_for(no_acceptors)


def test_half_an_instance_goes_in_the_end(series, tmp_path, impatient):
    with running(Refusing(), tmp_path) as node:
        association = associate(node)
        image = pydicom.dcmread(next(series.iterdir()))
        image.Rows, image.Columns, image.PixelData = 1000, 1000, bytes(2_000_000)
        plain = association.dul.socket.socket
        association.dul.socket.socket = Trickling(plain)
        sending = threading.Thread(target=association.send_c_store, args=(image,))
        sending.start()
        (name,) = wait_for(lambda: node.inside("partial"))
        plain.shutdown(socket.SHUT_RDWR)
        sending.join()
        wait_for(no_acceptors)
        node.pass_time(QUIET_S)
        assert node.inside("partial") == [name]  # it could still be written to
        os.utime(tmp_path / "partial" / name, (0, 0))
        node.pass_time(QUIET_S)
        assert node.inside("partial") == []


def test_a_series_that_comes_twice_at_once_is_one(engine, series, tmp_path):
    with running(engine, tmp_path) as node:
        both = [associate(node, title) for title in ("ONE", "OTHER")]
        for path in sorted(series.iterdir()):
            for association in both:
                push(association, [path])
        both[0].release()
        end(both[1])
        node.pass_time(QUIET_S)
        wait_for(lambda: node.inside("outgoing"))
        assert node.inside("failed") == node.inside("ready") == []
        assert len(node.inside("outgoing")) == 1


def test_a_destination_that_is_down_for_an_hour_gets_all(engine, series, tmp_path, caplog):
    with running(engine, tmp_path) as node:
        push_all(node, series)
        wait_for(lambda: node.inside("outgoing"))
        for _ in range(60):
            node.pass_time(60)
        tries = caplog.text.count("no connection")
        assert 5 < tries < 20
        archive = Archive(node.settings.destination.port)
        node.pass_time(600)
        wait_for(lambda: archive.stored == ["SEG", "SR", "OT"])
        wait_for(lambda: not node.inside("outgoing"))
        archive.server.shutdown()


def test_what_there_is_no_room_for_is_said_and_comes_again(engine, series, tmp_path, caplog, monkeypatch):
    from pynetdicom import dimse_messages

    made = dimse_messages.NamedTemporaryFile
    paths = sorted(series.iterdir())

    def full(**options):
        raise OSError(28, "No space left on device")

    with running(engine, tmp_path) as node:
        association = associate(node)
        push(association, paths[:15])
        monkeypatch.setattr(dimse_messages, "NamedTemporaryFile", full)
        assert "Status" not in association.send_c_store(pydicom.dcmread(paths[15]))
        wait_for(lambda: "broke off an association: No space left on device" in caplog.text)
        monkeypatch.setattr(dimse_messages, "NamedTemporaryFile", made)
        node.pass_time(QUIET_S)
        assert len(node.inside("incoming")) == 1 and len(list(tmp_path.glob("incoming/*/*"))) == 15
        association = associate(node)
        push(association, paths[15:])
        end(association)
        node.pass_time(QUIET_S)
        wait_for(lambda: node.inside("outgoing"))


def send_series(node, image, number, count):
    """A series of its own over an association of its own."""
    association = associate(node, f"SENDER{number}")
    assert association.is_established
    for index in range(count):
        image.SeriesInstanceUID, image.SOPInstanceUID = f"{ROOT}.{number}", f"{ROOT}.{number}.{index}"
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        assert association.send_c_store(image).Status == 0x0000
    association.release()


def resident_bytes():
    gc.collect()
    return_memory()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_fifty_associations_at_once_lose_nothing_and_leave_no_memory(series, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    associations, count, side = 50, 4, 512
    image = pydicom.dcmread(next(series.iterdir()))
    image.Rows, image.Columns, image.PixelData = side, side, bytes(2 * side * side)
    used = []
    with running(Refusing(), tmp_path) as node:
        for start in (0, associations, 2 * associations):
            with ThreadPoolExecutor(associations) as pool:
                sent = [
                    pool.submit(send_series, node, copy.deepcopy(image), start + number, count)
                    for number in range(associations)
                ]
            for one in sent:
                one.result()
            wait_for(no_acceptors)
            node.pass_time(QUIET_S)
            wait_for(lambda start=start: len(node.inside("failed")) == 2 * (start + associations))
            used.append(resident_bytes())
    assert len(list(tmp_path.glob("failed/*/*.dcm"))) == 3 * associations * count
    # A tenth of what came in each round.
    assert used[2] - used[1] < associations * count * 2 * side * side / 10
