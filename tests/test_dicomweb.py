"""Series from an archive and results back to it by DICOMweb: Orthanc with its plugin, and servers that behave badly."""

import http.server
import threading
from contextlib import contextmanager

import numpy as np
import pydicom
import pytest
import requests
from support import scans
from support.local_archive import running_orthanc
from support.phantom import make_models, make_phantom
from support.waiting import free_port
from whs_fast import engine as engine_module
from whs_fast.cli import main
from whs_fast.dicomweb import TOKEN, fetch_series
from whs_fast.errors import InputError
from whs_fast.reading.scan import read

UID = "1.2.826.0.1.3680043.2.1125.9"


@pytest.fixture(autouse=True)
def phantom_models(tmp_path_factory, monkeypatch):
    models = make_models(tmp_path_factory.mktemp("models"))
    monkeypatch.setattr(engine_module, "models_folder", lambda: models)


@pytest.mark.slow
def test_a_series_comes_out_of_orthanc_and_its_results_go_back(tmp_path, capsys):
    series = scans.write_dicom(make_phantom(), tmp_path / "series", series=UID)
    with running_orthanc(tmp_path, dicomweb=True) as orthanc:
        for path in series.iterdir():
            requests.post(f"http://127.0.0.1:{orthanc.http}/instances", data=path.read_bytes(), timeout=20)
        arguments = ["--from-dicomweb", orthanc.dicomweb, "--series", UID, "--to-dicomweb", orthanc.dicomweb]
        assert main(["run", *arguments, "-o", str(tmp_path / "out")]) == 0, capsys.readouterr().err
        made = orthanc.made_of(UID)
    assert set(made) == {"CT", "SEG", "SR", "OT"}
    segmentation, source = made["SEG"], read(series)
    instances = set(source.source.instances)
    assert (segmentation.StudyInstanceUID, str(segmentation.PatientName)) == (
        made["CT"].StudyInstanceUID,
        scans.PATIENT,
    )
    (named,) = segmentation.ReferencedSeriesSequence
    assert named.SeriesInstanceUID == UID
    assert {item.ReferencedSOPInstanceUID for item in named.ReferencedInstanceSequence} == instances
    assert segmentation.SOPInstanceUID in {e.value for e in made["SR"].iterall() if e.VR == "UI"}
    own = pydicom.dcmread(tmp_path / "out" / "labels.dcm")
    assert segmentation.PixelData == own.PixelData and segmentation.SOPInstanceUID == own.SOPInstanceUID
    np.testing.assert_array_equal(read_labels(tmp_path / "out"), read_labels_of(series))


def read_labels(folder):
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(sitk.ReadImage(folder / "labels.nii.gz"))


def read_labels_of(series):
    return engine_module.run(series, threads=2).labels


@pytest.mark.slow
def test_what_an_archive_does_not_have_or_take_is_said(tmp_path, capsys):
    series = scans.write_dicom(make_phantom(), tmp_path / "series", series=UID)
    with running_orthanc(tmp_path, dicomweb=True) as orthanc:
        wrong = f"http://127.0.0.1:{orthanc.http}/nowhere"
        for url, status, text in (
            (orthanc.dicomweb, 2, "found no series 1.2.3"),
            (wrong, 2, "answered with status 404"),
        ):
            arguments = ["run", "--from-dicomweb", url, "--series", "1.2.3", "-o", str(tmp_path / "out")]
            assert main(arguments) == status and text in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
        assert main(["run", str(series), "-o", str(tmp_path / "out"), "--to-dicomweb", wrong]) == 3
        assert "answered with status 404" in capsys.readouterr().err
        assert (tmp_path / "out" / "labels.dcm").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--series", UID], "expected either INPUT or --from-dicomweb URL"),
        (["scan.nii.gz", "--from-dicomweb", "http://127.0.0.1:1"], "expected either INPUT or --from-dicomweb URL"),
        (["--from-dicomweb", "http://127.0.0.1:1"], "expected the series to fetch, with --series UID"),
        (["--from-dicomweb", "http://127.0.0.1:1/dicom-web", "--series", UID], "cannot be reached (ConnectionError)"),
        (["--from-dicomweb", "archive", "--series", UID], "found no answer that can be read"),
    ],
)
def test_what_cannot_be_asked_is_status_2(arguments, text, tmp_path, capsys):
    assert main(["run", *arguments, "-o", str(tmp_path / "out")]) == 2
    assert text in capsys.readouterr().err


def test_earlier_results_are_refused_before_anything_is_fetched(tmp_path, capsys):
    (tmp_path / "measurements.json").write_text("{}")
    arguments = ["--from-dicomweb", f"http://127.0.0.1:{free_port()}", "--series", UID]
    assert main(["run", *arguments, "-o", str(tmp_path)]) == 2
    assert "holds earlier results" in capsys.readouterr().err


@contextmanager
def serving(status, body=b"", kind="application/dicom+json"):
    """A server that answers everything with the same; gives its address and the headers that it was sent."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(dict(self.headers))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


def test_the_token_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv(TOKEN, "secret")
    with serving(401) as (url, seen), pytest.raises(InputError, match="answered with status 401"):
        fetch_series(url, UID, tmp_path)
    assert seen[0]["Authorization"] == "Bearer secret"


@pytest.mark.parametrize(("body", "kind"), [(b"{", "application/dicom+json"), (b"<html>", "text/html")])
def test_what_is_no_archive_is_said_in_one_line(body, kind, tmp_path):
    with serving(200, body, kind) as (url, _), pytest.raises(InputError, match="expected a DICOMweb service"):
        fetch_series(url, UID, tmp_path)


def test_an_archive_that_ignores_what_it_is_asked_for_gives_no_other_series(tmp_path):
    line = b'[{"0020000D": {"vr": "UI", "Value": ["1.2"]}, "0020000E": {"vr": "UI", "Value": ["1.2.4"]}}]'
    with serving(200, line) as (url, seen), pytest.raises(InputError, match=f"found no series {UID}"):
        fetch_series(url, UID, tmp_path)
    assert len(seen) == 1
