"""The requests of OHIF's MONAI Label plugin, one for one, and all that it reads in the answers.

OHIF itself is not run here. What it asks for is written down from the plugin's sources (Project-MONAI/MONAILabel,
plugins/ohifv3, commit 058ddfc4: services/MonaiLabelClient.js and the components that call it). It comes from an address
of its own, sends no token, and names a scan by the UID of its series in the archive.
"""

import gzip
import json

import numpy as np
import pytest
from support import scans
from support.local_service import running
from whs_fast.service.monai_label import MODEL
from whs_fast.structures import STRUCTURES

VIEWER, SERIES = "http://viewer.example:3000", "1.2.840.1"
# As axios sends them from a page of another site.
HEADERS = {"Origin": VIEWER, "Sec-Fetch-Site": "cross-site", "Accept": "application/json,multipart/form-data"}


@pytest.fixture
def ohif(engine, phantom, tmp_path, monkeypatch):
    """Asks a service as OHIF does; the browser gives the answer to the page only where it names the page's site."""
    monkeypatch.setattr(
        "whs_fast.service.monai_label.fetch_series",
        lambda url, series, folder: scans.write_dicom(phantom, folder, series=series),
    )
    archive = "http://archive.example/dicom-web"
    with running(engine, tmp_path / "queue", owners=(), origins=(VIEWER,), archive=archive) as service:

        def ask(method, path, *, more=None, **how):
            answer = service.ask(method, path, headers=HEADERS | (more or {}), **how)
            assert answer.headers["Access-Control-Allow-Origin"] == VIEWER
            return answer

        yield ask


def parse_nrrd(content):
    """As the plugin does by nrrd-js: fields up to the first empty line, then voxels, which it inflates itself."""
    head, _, voxels = content.partition(b"\n\n")
    magic, *lines = head.decode("ascii").splitlines()
    fields = dict(line.split(": ", 1) for line in lines if not line.startswith("#") and ":=" not in line)
    assert magic.startswith("NRRD000") and fields["encoding"] in ("raw", "gzip")
    voxels = gzip.decompress(voxels) if fields["encoding"] == "gzip" else voxels
    return [int(count) for count in fields["sizes"].split()], fields, np.frombuffer(voxels, np.uint8)


def test_connecting(ohif):
    """The panel's `onInfo`, then what its tabs show."""
    answer = ohif("GET", "/info/")
    info = answer.json()
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("application/json")
    assert isinstance(info["labels"], list) and info["name"]  # it adds to the list
    model = info["models"][MODEL]
    assert model["type"] == "segmentation"  # else it is offered under no tab
    assert model["labels"] == {structure.name: structure.label for structure in STRUCTURES}
    assert info["datastore"]["total"] == info["datastore"]["completed"] == 0
    assert info["strategies"] == info["trainers"] == info["train_stats"] == {}  # it asks for their keys
    for section in ("models", "trainers", "strategies"):
        assert all(isinstance(entry.get("config", {}), dict) for entry in info[section].values())


def test_automatic_segmentation(ohif, phantom, result):
    params = {"result_extension": ".nrrd", "result_dtype": "uint8", "result_compress": False}
    params |= {"restore_label_idx": False}
    query = {"image": SERIES, "output": "image"}
    answer = ohif("POST", f"/infer/{MODEL}", params=query, files={"params": (None, json.dumps(params))})
    assert answer.status_code == 200
    sizes, fields, voxels = parse_nrrd(answer.content)
    assert fields["type"] in ("uint8", "uchar", "unsigned char") and fields["dimension"] == "3"
    assert sizes == list(phantom.array.shape[::-1])
    np.testing.assert_array_equal(voxels.reshape(sizes[::-1]), result.labels)


def test_training_and_active_learning_are_refused(ohif):
    """The plugin tells its user so where the status is not 200."""
    assert ohif("GET", "/train/", params={"check_if_running": "true"}).status_code == 404
    assert ohif("DELETE", "/train/").status_code == 404
    for path in ("/train/", "/activelearning/random"):
        assert ohif("POST", path, json={}).status_code == 404


def test_a_label_is_saved_when_the_browser_has_asked_whether_it_may(ohif, scan):
    query = {"image": SERIES}
    asked = {"Access-Control-Request-Method": "PUT"}
    allowed = ohif("OPTIONS", "/datastore/label", params=query, more=asked)
    assert allowed.status_code == 200 and "PUT" in allowed.headers["Access-Control-Allow-Methods"]
    image = ohif("PUT", "/datastore/", params=query, files={"file": ("a.nii.gz", scan.read_bytes())}).json()["image"]
    parts = {"params": (None, "{}"), "label": ("label.bin", b"\0\1")}
    answer = ohif("PUT", "/datastore/label", params=query, files=parts)
    assert answer.status_code == 200 and answer.json()["image"] == image
