"""The node on this machine alone, with the networks of the phantom: what it sends back, and what stops it or not.

How it gets on with other programs is tested in test_peers.py.
"""

import logging
import re
import socket
import ssl
import subprocess
import threading

import pytest
from support import scans
from support.local_node import QUIET_S, Archive, associate, end, push, push_all, running
from support.programs import need
from support.waiting import wait_for
from whs_fast.errors import InputError
from whs_fast.node import receiving
from whs_fast.node.settings import Tls

UID = "1.2.826.0.1.3680043.2.1125.1"


def test_a_series_comes_back_as_three_objects(whole_engine, series, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    with running(whole_engine, tmp_path) as node:
        archive = Archive(node.settings.destination.port)
        push_all(node, series)
        wait_for(lambda: len(archive.stored) == 3)
        wait_for(lambda: not node.inside("outgoing"))
        archive.server.shutdown()
    assert archive.stored == ["SEG", "SR", "OT"]
    for state in ("incoming", "ready", "outgoing", "failed", "attempts", "partial"):
        assert node.inside(state) == []
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("whs_fast")]
    assert any("is complete" in line for line in lines) and any("sent" in line for line in lines)
    said = caplog.text
    assert not any(text in said for text in (scans.PATIENT, *scans.PATIENT_TAGS.values(), UID))


def test_a_series_that_cannot_be_run_is_set_aside(engine, series, tmp_path, caplog):
    with running(engine, tmp_path) as node:
        association = associate(node)
        push(association, sorted(series.iterdir())[:3])
        end(association)
        node.pass_time(QUIET_S)
        wait_for(lambda: len(node.inside("failed")) == 2)
        node.pass_time(1000 * QUIET_S)
        _, reason = node.inside("failed")  # and it stays there
        (line,) = (tmp_path / "failed" / reason).read_text().splitlines()
        assert "field of view" in line
        # The rest of it comes, and it is run with what there was.
        association = associate(node)
        push(association, sorted(series.iterdir())[3:])
        end(association)
        node.pass_time(QUIET_S)
        wait_for(lambda: node.inside("outgoing"))
        assert node.inside("failed") == []
    assert "refused and set aside" in caplog.text and "field of view" not in caplog.text


def test_a_fault_of_ours_does_not_stop_the_node(series, tmp_path, caplog):
    class Broken:
        def run(self, folder, progress):
            raise RuntimeError(f"of {scans.PATIENT}")

    with running(Broken(), tmp_path) as node:
        push_all(node, series)
        wait_for(lambda: len(node.inside("failed")) == 2)
        association = associate(node)
        assert association.send_c_echo().Status == 0x0000
        association.release()
    assert "failed with RuntimeError" in caplog.text and scans.PATIENT not in caplog.text


def test_a_full_disk_is_no_fault_of_the_series(series, engine, tmp_path, caplog):
    failures = 7  # more than a series that kills the node gets attempts

    class Full:
        def __init__(self):
            self.calls = 0

        def run(self, *arguments, **options):
            self.calls += 1
            if self.calls <= failures:
                raise OSError(28, "No space left on device")
            return engine.run(*arguments, **options)

    with running(Full(), tmp_path) as node:
        push_all(node, series)
        wait_for(lambda: node.inside("outgoing"))
    told = [float(seconds) for seconds in re.findall(r"No space left on device; trying again in (\d+) s", caplog.text)]
    assert len(told) == failures and min(told) >= 10.0
    # It waits as long as it says.
    assert [s for waits in node.stop.waits.values() for s in waits if s >= 10.0] == told


def test_a_series_that_kills_the_node_is_set_aside(engine, series, tmp_path):
    with running(engine, tmp_path, quiet_s=1000 * QUIET_S) as node:
        push_all(node, series)
        (name,) = node.inside("incoming")
    job = f"{name}-000000"
    (tmp_path / "incoming" / name).rename(tmp_path / "ready" / job)
    (tmp_path / "attempts" / job).write_text("5")
    with running(engine, tmp_path) as node:
        wait_for(lambda: len(node.inside("failed")) == 2)
    assert "died 5 times" in (tmp_path / "failed" / f"{job}.txt").read_text()


def test_stopped_in_a_run_it_runs_again(engine, series, tmp_path):
    begun = threading.Event()

    class Slow:
        def run(self, folder, progress):
            begun.set()
            assert threading.Event.wait(node.stop, 60)
            progress("segment", 0.5)

    with running(Slow(), tmp_path) as node:
        push_all(node, series)
        assert begun.wait(60)
    assert len(node.inside("ready")) == 1 and node.inside("attempts") == node.inside("failed") == []
    with running(engine, tmp_path) as node:
        wait_for(lambda: node.inside("outgoing"))


def test_sending_is_tried_again_after_a_time_that_doubles(engine, series, tmp_path, caplog):
    def delays():
        return [float(line.rsplit(" ", 2)[1]) for line in caplog.messages if "not sent" in line]

    def let_pass(count):
        """Not before its time, and then at once."""
        node.pass_time(0.9 * delays()[-1])
        assert len(delays()) == count - 1
        node.pass_time(0.1 * delays()[-1])
        wait_for(lambda: len(delays()) == count)

    with running(engine, tmp_path) as node:
        push_all(node, series)
        wait_for(lambda: len(delays()) == 1)
        let_pass(2)
        archive = Archive(node.settings.destination.port)
        archive.status = 0xA700
        let_pass(3)
        archive.status = 0x0000
        node.pass_time(delays()[-1])
        wait_for(lambda: archive.stored == ["SEG", "SR", "OT"])
        wait_for(lambda: not node.inside("outgoing"))
        archive.server.shutdown()
    assert caplog.text.count("no connection") == 2 and "status 0xA700; trying again in" in caplog.text
    assert delays() == [delays()[0] * factor for factor in (1, 2, 4)]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """{name: Tls} of a hospital's authority, and of one that it does not know."""
    program = need("openssl")
    found = {}
    for authority in ("ours", "theirs"):
        folder = tmp_path_factory.mktemp(authority)

        def openssl(*arguments, folder=folder):
            subprocess.run([program, *arguments], cwd=folder, check=True, capture_output=True)

        new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test", "-days", "2")
        openssl("req", *new, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=node")
        (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "2")
        openssl("x509", "-req", "-in", "request.pem", *signed, "-out", "cert.pem")
        found[authority] = Tls(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
    return found


def peer(tls, protocol):
    """How a peer sets up TLS that shows its certificate and wants to see one."""
    context = ssl.SSLContext(protocol)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(tls.certificate, tls.key)
    context.load_verify_locations(tls.authority)
    return context


def test_tls_both_ways(engine, series, tmp_path, certificates, monkeypatch, caplog):
    # Sockets know no time but the real one, and nobody should wait long for the client that says nothing.
    monkeypatch.setattr(receiving, "_HANDSHAKE_S", 1.5)
    ours = certificates["ours"]
    with running(engine, tmp_path, tls=ours) as node:
        archive = Archive(node.settings.destination.port, peer(ours, ssl.PROTOCOL_TLS_SERVER))
        with socket.create_connection(("127.0.0.1", node.settings.port)):  # says nothing, and holds up nobody for long
            push_all(node, series, tls=peer(ours, ssl.PROTOCOL_TLS_CLIENT))
        assert not associate(node).is_established
        stranger = peer(certificates["theirs"], ssl.PROTOCOL_TLS_CLIENT)
        assert not associate(node, tls=stranger).is_established
        wait_for(lambda: caplog.text.count("refused a TLS handshake of 127.0.0.1: ") >= 3)
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
