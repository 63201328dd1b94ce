"""The DICOM node on this machine alone, with the networks of the phantom: whom it lets in, what it waits for, what it
does when something fails. How it gets on with other programs is tested in test_dicom_network.py."""

import copy
import logging
import shutil
import socket
import socketserver
import subprocess
import threading
import time
import warnings
from contextlib import contextmanager
from dataclasses import replace

import pydicom
import pytest
from pynetdicom import AE, evt
from pynetdicom.sop_class import CTImageStorage, Verification
from support import scans
from support.phantom import make_models, make_phantom
from support.waiting import answers, free_port, wait_for
from whs_fast.cli import main
from whs_fast.engine import Engine
from whs_fast.errors import InputError
from whs_fast.node import serving as node_module
from whs_fast.node.sending import Destination, check_title, parse_destination
from whs_fast.node.serving import Settings, Tls, serve
from whs_fast.reading.scan import read

UID = "1.2.826.0.1.3680043.2.1125.1"


class Quick:
    """Reads what it is given, as an engine does, and finds in it what an engine has found in the whole series."""

    def __init__(self, result):
        self.result = result

    def run(self, folder, progress):
        volume = read(folder)
        progress("measure", 0.9)
        measurements = copy.deepcopy(self.result.measurements)
        return replace(self.result, source=volume.source, measurements=measurements)


@pytest.fixture(scope="module")
def whole_engine(tmp_path_factory):
    return Engine(threads=2, models=make_models(tmp_path_factory.mktemp("models")))


@pytest.fixture(scope="module")
def engine(whole_engine, series):
    return Quick(whole_engine.run(series))


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    return scans.write_dicom(make_phantom(spacing_mm=(3.0, 3.0, 6.0), shape=(30, 62, 64)), tmp_path_factory.mktemp("p"))


@pytest.fixture(autouse=True)
def unchanged_process(monkeypatch):
    """A node may change settings of its process; these tests share theirs with others. It looks around more often."""
    monkeypatch.setattr(node_module, "_TICK_S", 0.02)
    monkeypatch.setattr(
        socketserver.BaseServer.serve_forever, "__defaults__", (0.02,)
    )  # half a second to stop otherwise
    before = {name: logging.getLogger(name).propagate for name in ("pydicom", "pynetdicom", "highdicom")}
    modes = pydicom.config.settings.reading_validation_mode, pydicom.config.settings.writing_validation_mode
    with warnings.catch_warnings():
        yield
    for name, propagate in before.items():
        logging.getLogger(name).propagate = propagate
    pydicom.config.settings.reading_validation_mode, pydicom.config.settings.writing_validation_mode = modes


class Archive:
    """A node that stores what it gets, in memory, and answers with a status of the test's choice."""

    def __init__(self, port, tls=None):
        self.stored, self.status = [], 0x0000
        entity = AE(ae_title="ARCHIVE")
        for sop_class in ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.7"):
            entity.add_supported_context(sop_class)
        self.server = entity.start_server(
            ("127.0.0.1", port), block=False, ssl_context=tls, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )

    def _store(self, event):
        if self.status == 0x0000:
            self.stored.append(event.dataset.Modality)
        return self.status


@contextmanager
def running(engine, queue, **changes):
    """A node in a thread, and how to reach it."""
    port, stop, failure = free_port(), threading.Event(), []
    settings = {
        "title": "WHSFAST",
        "bind": "127.0.0.1",
        "port": port,
        "destination": Destination("ARCHIVE", "127.0.0.1", free_port()),
        "allow": (),
        "quiet_s": 0.3,
        "queue": queue,
        "tls": None,
    }
    settings = Settings(**(settings | changes))

    def target():
        try:
            serve(settings, engine, stop)
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    try:
        wait_for(lambda: failure or answers(port))
        yield settings
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()
        if failure:
            raise failure[0]


def associate(settings, title="SENDER", called="WHSFAST", tls=None):
    entity = AE(ae_title=title)
    entity.add_requested_context(CTImageStorage)
    entity.add_requested_context(Verification)
    return entity.associate(
        *("127.0.0.1", settings.port),
        ae_title=called,
        tls_args=tls and (tls, "127.0.0.1"),
        evt_handlers=[(evt.EVT_CONN_OPEN, send_at_once)],
    )


def send_at_once(event):
    """Without it every instance waits 40 ms for the system to acknowledge its first bytes."""
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def push(association, paths):
    for path in paths:
        assert association.send_c_store(pydicom.dcmread(path)).Status == 0x0000


def push_all(settings, series, **how):
    association = associate(settings, **how)
    push(association, sorted(series.iterdir()))
    association.release()


def inside(queue, state):
    return sorted(path.name for path in (queue / state).iterdir())


def test_a_series_comes_back_as_three_objects(whole_engine, series, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    with running(whole_engine, tmp_path) as settings:
        archive = Archive(settings.destination.port)
        push_all(settings, series)
        wait_for(lambda: len(archive.stored) == 3)
        wait_for(lambda: not inside(tmp_path, "outgoing"))
        archive.server.shutdown()
    assert archive.stored == ["SEG", "SR", "OT"]
    for state in ("incoming", "ready", "outgoing", "failed", "attempts", "partial"):
        assert inside(tmp_path, state) == []
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("whs_fast")]
    assert any("is complete" in line for line in lines) and any("sent" in line for line in lines)
    said = caplog.text
    assert not any(text in said for text in (scans.PATIENT, *scans.PATIENT_TAGS.values(), UID))


def test_whom_it_answers(engine, tmp_path, caplog):
    with running(engine, tmp_path, allow=("SENDER", "OTHER")) as settings:
        for title in ("SENDER", "OTHER"):
            association = associate(settings, title)
            assert association.send_c_echo().Status == 0x0000
            association.release()
        for title, called in (("STRANGER", "WHSFAST"), ("SENDER", "ELSEWHERE")):
            assert not associate(settings, title, called).is_established
        wait_for(lambda: caplog.text.count("rejected an association") == 2)


def test_a_series_waits_for_the_end_of_its_associations(engine, series, tmp_path):
    paths = sorted(series.iterdir())
    with running(engine, tmp_path) as settings:
        association = associate(settings)
        push(association, paths[:15])
        time.sleep(1.0)  # longer than the quiet time
        assert len(inside(tmp_path, "incoming")) == 1
        push(association, paths[15:])
        association.release()
        (folder,) = wait_for(lambda: inside(tmp_path, "outgoing"))
        assert len(list((tmp_path / "outgoing" / folder).iterdir())) == 3


def test_what_broke_off_waits_for_the_rest(engine, series, tmp_path):
    paths = sorted(series.iterdir())
    with running(engine, tmp_path, quiet_s=0.7) as settings:
        association = associate(settings)
        push(association, paths[:15])
        association.abort()
        time.sleep(1.5)
        assert len(inside(tmp_path, "incoming")) == 1  # for 7 s
        association = associate(settings)
        push(association, paths[15:])
        association.release()
        wait_for(lambda: not inside(tmp_path, "incoming"), 5)
        wait_for(lambda: inside(tmp_path, "outgoing"))


def test_what_broke_off_is_run_in_the_end(engine, series, tmp_path):
    with running(engine, tmp_path, quiet_s=0.1) as settings:
        association = associate(settings)
        push(association, sorted(series.iterdir()))
        association.abort()
        wait_for(lambda: inside(tmp_path, "outgoing"))


def test_what_was_received_before_a_restart_is_run(engine, series, tmp_path):
    with running(engine, tmp_path, quiet_s=30.0) as settings:
        push_all(settings, series)
    (name,) = inside(tmp_path, "incoming")
    assert len(inside(tmp_path / "incoming", name)) == 30
    with running(engine, tmp_path, quiet_s=0.05):
        wait_for(lambda: inside(tmp_path, "outgoing"))


def test_a_series_that_cannot_be_run_is_set_aside(engine, series, tmp_path, caplog):
    with running(engine, tmp_path) as settings:
        association = associate(settings)
        push(association, sorted(series.iterdir())[:3])
        association.release()
        wait_for(lambda: len(inside(tmp_path, "failed")) == 2)
        time.sleep(0.5)  # and it stays there
        _, reason = inside(tmp_path, "failed")
        (line,) = (tmp_path / "failed" / reason).read_text().splitlines()
        assert "field of view" in line
        # The rest of it comes, and it is run with what there was.
        association = associate(settings)
        push(association, sorted(series.iterdir())[3:])
        association.release()
        wait_for(lambda: inside(tmp_path, "outgoing"))
        assert inside(tmp_path, "failed") == []
    assert "refused and set aside" in caplog.text and "field of view" not in caplog.text


def test_a_fault_of_ours_does_not_stop_the_node(series, tmp_path, caplog):
    class Broken:
        def run(self, folder, progress):
            raise RuntimeError(f"of {scans.PATIENT}")

    with running(Broken(), tmp_path) as settings:
        push_all(settings, series)
        wait_for(lambda: len(inside(tmp_path, "failed")) == 2)
        association = associate(settings)
        assert association.send_c_echo().Status == 0x0000
        association.release()
    assert "failed with RuntimeError" in caplog.text and scans.PATIENT not in caplog.text


def test_a_full_disk_is_no_fault_of_the_series(series, engine, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(node_module, "_DISK_DELAY_S", 0.05)

    class Full:
        def __init__(self):
            self.calls = 0

        def run(self, *arguments, **options):
            self.calls += 1
            if self.calls < 8:
                raise OSError(28, "No space left on device")
            return engine.run(*arguments, **options)

    with running(Full(), tmp_path) as settings:
        push_all(settings, series)
        wait_for(lambda: inside(tmp_path, "outgoing"))
    assert "No space left on device; trying again in" in caplog.text


def test_a_series_that_kills_the_node_is_set_aside(engine, series, tmp_path):
    with running(engine, tmp_path, quiet_s=30.0) as settings:
        push_all(settings, series)
    (name,) = inside(tmp_path, "incoming")
    job = f"{name}-000000"
    (tmp_path / "incoming" / name).rename(tmp_path / "ready" / job)
    (tmp_path / "attempts" / job).write_text("5")
    with running(engine, tmp_path):
        wait_for(lambda: len(inside(tmp_path, "failed")) == 2)
    assert "died 5 times" in (tmp_path / "failed" / f"{job}.txt").read_text()


def test_stopped_in_a_run_it_runs_again(engine, series, tmp_path):
    begun, stopped = threading.Event(), threading.Event()

    class Slow:
        def run(self, folder, progress):
            begun.set()
            stopped.wait(20)
            progress("segment", 0.5)

    with running(Slow(), tmp_path) as settings:
        push_all(settings, series)
        begun.wait(20)
        threading.Timer(0.5, stopped.set).start()
    assert len(inside(tmp_path, "ready")) == 1 and inside(tmp_path, "attempts") == inside(tmp_path, "failed") == []
    with running(engine, tmp_path):
        wait_for(lambda: inside(tmp_path, "outgoing"))


def test_sending_is_tried_again(engine, series, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(node_module, "_FIRST_DELAY_S", 0.2)
    with running(engine, tmp_path) as settings:
        push_all(settings, series)
        wait_for(lambda: caplog.text.count("no connection") >= 2)
        archive = Archive(settings.destination.port)
        archive.status = 0xA700
        wait_for(lambda: "status 0xA700; trying again in" in caplog.text)
        archive.status = 0x0000
        wait_for(lambda: archive.stored == ["SEG", "SR", "OT"])
        wait_for(lambda: not inside(tmp_path, "outgoing"))
        archive.server.shutdown()
    delays = [float(line.rsplit(" ", 2)[1]) for line in caplog.messages if "not sent" in line]
    assert delays == sorted(delays)


def test_instances_without_a_series_are_refused(engine, series, tmp_path):
    with running(engine, tmp_path) as settings:
        association = associate(settings)
        image = pydicom.dcmread(next(series.iterdir()))
        del image.SeriesInstanceUID
        assert association.send_c_store(image).Status == 0xC000
        association.release()
    assert inside(tmp_path, "incoming") == inside(tmp_path, "partial") == []


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """{name: Tls} of a hospital's authority, and of one that it does not know."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    found = {}
    for authority in ("ours", "theirs"):
        folder = tmp_path_factory.mktemp(authority)

        def openssl(*arguments, folder=folder):
            subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

        new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test", "-days", "2")
        openssl("req", *new, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=node")
        (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "2")
        openssl("x509", "-req", "-in", "request.pem", *signed, "-out", "cert.pem")
        found[authority] = Tls(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
    return found


def test_tls_both_ways(engine, series, tmp_path, certificates, monkeypatch):
    monkeypatch.setattr(node_module, "_HANDSHAKE_S", 1.5)
    ours = certificates["ours"]
    client = node_module._tls(ours, server=False)
    with running(engine, tmp_path, tls=ours) as settings:
        archive = Archive(settings.destination.port, node_module._tls(ours, server=True))
        with socket.create_connection(("127.0.0.1", settings.port)):  # says nothing, and holds up nobody for long
            push_all(settings, series, tls=client)
        assert not associate(settings).is_established
        stranger = node_module._tls(certificates["theirs"], server=False)
        assert not associate(settings, tls=stranger).is_established
        wait_for(lambda: archive.stored == ["SEG", "SR", "OT"])
        archive.server.shutdown()


def test_what_it_does_not_start_with(engine, tmp_path, certificates):
    def start(**changes):
        with running(engine, tmp_path, **changes):
            pass

    with pytest.raises(InputError, match=r"machines can reach 0\.0\.0\.0; name the AE titles .*--allow AET"):
        start(bind="0.0.0.0")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match=r"port .* in use; choose another one \(--port\)"):
            start(port=taken.getsockname()[1])
    ours = certificates["ours"]
    for broken in (Tls(ours.key, ours.key, ours.authority), Tls(tmp_path / "none", ours.key, ours.authority)):
        with pytest.raises(InputError, match="TLS: the files cannot be used"):
            start(tls=broken)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ARCHIVE@pacs:104", Destination("ARCHIVE", "pacs", 104)),
        ("A B@C@10.0.0.1:11112", Destination("A B@C", "10.0.0.1", 11112)),
        ("PACS@[::1]:104", Destination("PACS", "::1", 104)),
    ],
)
def test_destinations(text, expected):
    assert parse_destination(text) == expected


@pytest.mark.parametrize("text", ["", "PACS", "pacs:104", "PACS@pacs", "PACS@pacs:", "@pacs:104", "PACS@:104", "A@h:0"])
def test_destinations_that_are_none(text):
    with pytest.raises(InputError, match="expected"):
        parse_destination(text)


@pytest.mark.parametrize("title", ["", "  ", "SEVENTEENLETTERS!", "A\\B", "Ä", "A\nB"])
def test_titles_that_are_none(title):
    with pytest.raises(InputError, match="expected 1 to 16 printable ASCII"):
        check_title(title)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--send-to", "nowhere"], "destination: found 'nowhere', expected AET@HOST:PORT"),
        (["--send-to", "A@b:104", "--aet", ""], "AE title: found '', expected 1 to 16 printable ASCII characters"),
        (["--send-to", "A@b:104", "--allow", "x" * 17], "AE title: found 'xxxxxxxxxxxxxxxxx', expected 1 to 16"),
        (
            ["--send-to", "A@b:104", "--tls-cert", "c.pem"],
            "TLS: --tls-cert, --tls-key and --tls-ca belong together",
        ),
        (["--send-to", "A@b:104", "--bind", "0.0.0.0"], "bind: other machines can reach 0.0.0.0;"),
        ([], "Missing option '--send-to'"),
    ],
)
def test_options_that_cannot_be_used(options, told, capsys, tmp_path):
    assert main(["node", "--queue", str(tmp_path / "queue"), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"whs-fast: {told}") and not (tmp_path / "queue").exists()
