"""The DICOM node as a process of its own, between DCMTK's storescu and a real archive, Orthanc.

On Debian: apt-get install dcmtk orthanc.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pynetdicom import AE
from support import scans
from support.local_archive import running_orthanc
from support.programs import need
from support.waiting import answers, free_port, wait_for
from whs_fast.reading.scan import read
from whs_fast.volume import Volume

pytestmark = pytest.mark.slow

CONTAINER = Path(__file__).parents[2] / "container"


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """{number of the series: folder}: half of the slices of the sample, each time under another Series Instance UID."""
    whole = read(str(resources.files("whs_fast") / "data" / "sample.nii.gz"))
    x_mm, y_mm, z_mm = whole.spacing_mm
    sample = Volume(np.ascontiguousarray(whole.array[::2]), (x_mm, y_mm, 2 * z_mm), whole.origin_mm, whole.direction)
    folder = tmp_path_factory.mktemp("series")
    uids = {number: f"1.2.826.0.1.3680043.2.1125.{number}" for number in (1, 2, 3)}
    return {number: scans.write_dicom(sample, folder / str(number), series=uid) for number, uid in uids.items()}


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as orthanc:
        yield orthanc


class Node:
    def __init__(self, folder, orthanc):
        self.port, self.folder, self.orthanc, self.process = free_port(), folder, orthanc, None

    def start(self, quiet_s=0.5):
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "whs_fast", "node", "--port", str(self.port)),
                    *("--allow", "SENDER", "--allow", "ORTHANC"),
                    *("--send-to", f"ORTHANC@127.0.0.1:{self.orthanc.dicom}", "--quiet", str(quiet_s)),
                    *("--queue", str(self.folder / "queue"), "--threads", "2"),
                ],
                stderr=log,
            )
        wait_for(lambda: self.process.poll() is not None or answers(self.port))

    def kill(self):
        self.process.kill()
        assert self.process.wait(10) == -signal.SIGKILL

    def inside(self, state):
        return sorted(path.name for path in (self.folder / "queue" / state).iterdir())

    @property
    def log(self):
        return (self.folder / "log").read_text()


@contextmanager
def started(folder, orthanc, **how):
    node = Node(folder, orthanc)
    node.start(**how)
    try:
        yield node
    finally:
        if node.process.poll() is None:
            node.process.kill()
            node.process.wait(10)


@pytest.fixture
def node(tmp_path, orthanc):
    with started(tmp_path, orthanc) as node:
        yield node


@pytest.fixture(scope="module")
def lasting_node(tmp_path_factory, orthanc):
    """One for the tests that leave it as they find it."""
    with started(tmp_path_factory.mktemp("lasting"), orthanc) as node:
        yield node


def dcmtk(tool, node, *arguments, title="SENDER"):
    called = [need(tool), "-aet", title, "-aec", "WHSFAST", "127.0.0.1", str(node.port), *map(str, arguments)]
    # Without TCP_NODELAY it waits 40 ms for the system to acknowledge the first bytes of each instance.
    return subprocess.run(called, capture_output=True, text=True, env=os.environ | {"TCP_NODELAY": "1"}, timeout=60)


def push(node, *paths):
    done = dcmtk("storescu", node, *(("+sd", *paths) if paths[0].is_dir() else paths))
    assert done.returncode == 0, done.stderr


def check_results(orthanc, folder):
    """Segmentation, report and picture are there, and refer to the series and to each other."""
    first = pydicom.dcmread(next(folder.iterdir()), stop_before_pixels=True)
    uid = first.SeriesInstanceUID
    wait_for(lambda: {"SEG", "SR", "OT"} <= set(orthanc.made_of(uid)))
    made = orthanc.made_of(uid)
    instances = {pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in folder.iterdir()}
    segmentation, report = made["SEG"], made["SR"]
    for dataset in made.values():
        assert (dataset.StudyInstanceUID, str(dataset.PatientName)) == (first.StudyInstanceUID, scans.PATIENT)
    (named,) = segmentation.ReferencedSeriesSequence
    assert named.SeriesInstanceUID == uid
    assert {item.ReferencedSOPInstanceUID for item in named.ReferencedInstanceSequence} == instances
    assert np.frombuffer(segmentation.PixelData, np.uint8).any()
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    evidence = [item for group in study.ReferencedSeriesSequence for item in group.ReferencedSOPSequence]
    assert segmentation.SOPInstanceUID in {item.ReferencedSOPInstanceUID for item in evidence}
    named = {element.value for element in report.iterall() if element.keyword == "ReferencedSOPInstanceUID"}
    assert named == {segmentation.SOPInstanceUID, *instances}


def test_a_series_comes_back_as_segmentation_report_and_picture(lasting_node, orthanc, series):
    push(lasting_node, series[1])
    check_results(orthanc, series[1])
    wait_for(lambda: not lasting_node.inside("outgoing"))
    assert lasting_node.inside("ready") == lasting_node.inside("incoming") == lasting_node.inside("failed") == []
    assert not any(text in lasting_node.log for text in (scans.PATIENT, *scans.PATIENT_TAGS.values(), "1.2.826"))


def test_the_archive_of_the_container_forwards_a_series_and_gets_its_results(tmp_path, series):
    written = json.loads((CONTAINER / "orthanc.json").read_text("utf-8"))
    (script,) = written["LuaScripts"]
    title, _, _ = written["DicomModalities"]["whsfast"]
    port = free_port()
    here = {
        "DicomModalities": {"whsfast": [title, "127.0.0.1", port]},
        "LuaScripts": [str(CONTAINER / Path(script).name)],
        "StableAge": 1,
    }
    with running_orthanc(tmp_path, more=here) as orthanc:
        node = Node(tmp_path, orthanc)
        node.port = port
        node.start()
        try:
            command = [need("storescu"), "-aec", "ORTHANC", "127.0.0.1", str(orthanc.dicom), "+sd", str(series[3])]
            subprocess.run(command, check=True, timeout=60)
            check_results(orthanc, series[3])
        finally:
            node.kill()


def test_killed_and_started_again_it_still_does(tmp_path, orthanc, series):
    paths = sorted(series[2].iterdir())
    with started(tmp_path, orthanc, quiet_s=3600) as node:
        push(node, *paths[:35])
        node.kill()  # in the middle of receiving
        assert len(node.inside("incoming")) == 1
        node.start()
        push(node, *paths[35:])
        wait_for(lambda: node.inside("attempts"))
        node.kill()  # in the middle of its run
        assert len(node.inside("ready")) == 1 and not orthanc.made_of("1.2.826.0.1.3680043.2.1125.2")
        node.start()
        check_results(orthanc, series[2])


def test_killed_while_the_archive_is_away_it_sends_later(tmp_path, orthanc, series):
    away = Node(tmp_path, type("Away", (), {"dicom": free_port()}))
    away.start()
    push(away, series[3])
    wait_for(lambda: "not sent: no connection" in away.log)
    away.kill()
    assert len(away.inside("outgoing")) == 1 and not away.inside("ready")
    away.orthanc = orthanc
    away.start()
    check_results(orthanc, series[3])
    away.process.terminate()
    assert away.process.wait(20) == 0


def test_strangers_are_refused(lasting_node, series):
    assert dcmtk("echoscu", lasting_node).returncode == 0
    for done in (
        dcmtk("echoscu", lasting_node, title="STRANGER"),
        dcmtk("storescu", lasting_node, *sorted(series[1].iterdir())[:1], title="STRANGER"),
    ):
        assert done.returncode != 0 and "Calling AE Title Not Recognized" in done.stderr
    assert lasting_node.inside("incoming") == []


def test_sigterm_ends_it_cleanly(node):
    entity = AE(ae_title="SENDER")
    entity.add_requested_context("1.2.840.10008.1.1")
    association = entity.associate("127.0.0.1", node.port, ae_title="WHSFAST")
    assert association.is_established  # and stays so
    node.process.terminate()
    assert node.process.wait(10) == 0
    assert "stopped; queue: 0 incoming" in node.log
    assert Path(node.folder / "queue" / "lock").exists()
    association.abort()
