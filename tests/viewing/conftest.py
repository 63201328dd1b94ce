"""What tests of the correction share: results of a DICOM scan, and a running page over them."""

import threading
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import pytest
import SimpleITK as sitk
from support.scans import write_dicom
from whs_fast.measure_labels import correct
from whs_fast.reading.scan import read
from whs_fast.service.http_server import Server
from whs_fast.viewing.serving import serve
from whs_fast.viewing.session import Session

SAMPLE = resources.files("whs_fast") / "data" / "sample.nii.gz"
SAMPLE_LABELS = Path(__file__).parents[1] / "data" / "sample_labels.nii.gz"
FORMATS = ("nifti", "dicom-seg")


@pytest.fixture(scope="package")
def scan(tmp_path_factory):
    """The sample, as DICOM."""
    return write_dicom(read(SAMPLE), tmp_path_factory.mktemp("DOE_JANE") / "series")


@pytest.fixture(scope="package")
def results(scan, tmp_path_factory):
    """What a run leaves, with the labels that the sample is known to have."""
    folder = tmp_path_factory.mktemp("results") / "results"
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(SAMPLE_LABELS)))
    told = {"schema": 1, "timings_s": {"write": 0.0, "total": 0.0}, "models": {}, "peak_memory_mb": None}
    told |= {"aortic_valve_mm": None}
    result = correct(labels, read(scan), labels, told, by="nobody", threads=2)
    del result.measurements["corrected"]
    result.save(folder)
    return folder


@contextmanager
def viewing(results, scan, out):
    """The address of the page, with its token."""
    server, told = Server(), []
    known = threading.Event()

    def tell(address):
        told.append(address)
        known.set()

    def save(session, changes, by):
        session.save(changes, by, out, formats=FORMATS, report="plain", overwrite=True)
        return {"folder": str(out)}

    def open_session():
        return Session(results, scan, threads=2, series=None, phase=None)

    thread = threading.Thread(target=serve, args=(open_session, save, server, tell))
    thread.start()
    try:
        assert known.wait(60)
        yield told[0]
    finally:
        server.stop()
        thread.join()


@pytest.fixture
def address(results, scan, tmp_path):
    with viewing(results, scan, tmp_path / "out") as address:
        yield address
