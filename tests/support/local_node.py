"""A DICOM node in a thread of the test, with its time in the test's hand, and an archive for its results."""

import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
import pytest
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (
    Comprehensive3DSRStorage,
    CTImageStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    Verification,
)
from support.waiting import answers, free_port, wait_for
from whs_fast.node import serving
from whs_fast.node.sending import Destination
from whs_fast.node.serving import serve
from whs_fast.node.settings import Settings

QUIET_S = 10.0


class Stop(threading.Event):
    """Tells a node to stop. What its threads want to wait meanwhile is noted for each, and takes them a moment."""

    def __init__(self):
        super().__init__()
        self.waits = {}

    def wait(self, timeout=None):
        self.waits.setdefault(threading.current_thread(), []).append(timeout)
        return super().wait(0.005)


class Clock:
    """Time as the node sees it: it stands still until the test lets it pass."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@dataclass
class Node:
    settings: Settings
    stop: Stop = field(default_factory=Stop)
    clock: Clock = field(default_factory=Clock)

    def pass_time(self, seconds):
        """Lets time pass, and returns when each thread of the node has looked around since."""
        self.clock.now += seconds
        before = {thread: len(waits) for thread, waits in self.stop.waits.items()}
        wait_for(lambda: all(len(self.stop.waits[thread]) >= count + 2 for thread, count in before.items()))

    def inside(self, state):
        return sorted(path.name for path in (self.settings.queue / state).iterdir())


@contextmanager
def running(engine, queue: Path, **changes):
    """A node in a thread, as long as the block lasts."""
    settings = {
        "title": "WHSFAST",
        "bind": "127.0.0.1",
        "port": free_port(),
        "destination": Destination("ARCHIVE", "127.0.0.1", free_port()),
        "allow": (),
        "quiet_s": QUIET_S,
        "queue": queue,
        "tls": None,
    }
    node, failure = Node(Settings(**(settings | changes))), []

    def target():
        try:
            serve(node.settings, engine, node.stop)
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=target)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(serving, "time", node.clock)
        thread.start()
        try:
            wait_for(lambda: failure or (answers(node.settings.port) and len(node.stop.waits) == 2))
            yield node
        finally:
            node.stop.set()
            thread.join(30)
            assert not thread.is_alive()
            if failure:
                raise failure[0]


def associate(node, title="SENDER", called="WHSFAST", tls=None):
    entity = AE(ae_title=title)
    entity.add_requested_context(CTImageStorage)
    entity.add_requested_context(Verification)
    return entity.associate(
        *("127.0.0.1", node.settings.port),
        ae_title=called,
        tls_args=tls and (tls, "127.0.0.1"),
        evt_handlers=[(evt.EVT_CONN_OPEN, _send_at_once)],
    )


def _send_at_once(event):
    """Without it every instance waits 40 ms for the system to acknowledge its first bytes."""
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def push(association, paths):
    for path in paths:
        assert association.send_c_store(pydicom.dcmread(path)).Status == 0x0000


def end(association, *, abort=False):
    """Releases an association, or breaks it off; then the node knows."""
    if abort:
        association.abort()
    else:
        association.release()
    wait_for(lambda: not any(map(_serves, threading.enumerate())))


def _serves(thread):
    """Whether it is the node's side of an association; what only looked whether somebody listens has no contexts."""
    return isinstance(thread, Association) and thread.is_acceptor and bool(thread.accepted_contexts)


def push_all(node, series, **how):
    """A whole series by an association of its own, and the quiet time after it."""
    association = associate(node, **how)
    push(association, sorted(series.iterdir()))
    end(association)
    node.clock.now += QUIET_S


class Archive:
    """Stores what it gets, in memory, and answers with a status of the test's choice."""

    def __init__(self, port, tls=None):
        self.stored, self.status = [], 0x0000
        entity = AE(ae_title="ARCHIVE")
        for sop_class in (SegmentationStorage, Comprehensive3DSRStorage, SecondaryCaptureImageStorage):
            entity.add_supported_context(sop_class)
        self.server = entity.start_server(
            ("127.0.0.1", port), block=False, ssl_context=tls, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )

    def _store(self, event):
        if self.status == 0x0000:
            self.stored.append(event.dataset.Modality)
        return self.status
