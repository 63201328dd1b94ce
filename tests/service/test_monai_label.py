"""MONAI Label's protocol: what the plugins of 3D Slicer and OHIF send, and the same through its own client class.

The package monailabel asks for torch and more, of which its client needs nothing: pip install --no-deps monailabel.
"""

import importlib.util
import json
import os

import pytest
import requests
import SimpleITK as sitk
from support import scans
from support.local_service import running
from support.waiting import wait_for
from whs_fast.service.monai_label import MODEL
from whs_fast.structures import STRUCTURES


def labels_in(path):
    return sitk.GetArrayFromImage(sitk.ReadImage(path))


@pytest.fixture
def client(service, tmp_path):
    """MONAI Label's client, logged in as 3D Slicer's plugin does it."""
    if importlib.util.find_spec("monailabel") is None:
        reason = "monailabel is not installed (pip install --no-deps monailabel)"
        (pytest.fail if os.environ.get("WHS_FAST_REQUIRE_PROGRAMS") else pytest.skip)(reason)
    from monailabel.client import MONAILabelClient

    client = MONAILabelClient(service.url, str(tmp_path), "user")
    assert client.auth_enabled() and not client.auth_valid_token()
    client.update_auth(client.auth_token("Doctor Doe", service.tokens["alice"]))
    assert client.auth_valid_token()
    return client


@pytest.mark.slow
@pytest.mark.parametrize("way", ["file", "session", "datastore"])
def test_their_client_gets_the_engines_own_labels(client, scan, result, way):
    params = {"result_extension": ".nrrd", "result_dtype": "uint8"}
    if way == "file":
        path, told = client.infer(MODEL, "", params, file=str(scan))
    elif way == "session":
        session = client.create_session(str(scan))["session_id"]
        assert client.get_session(session)
        path, told = client.infer(MODEL, str(scan), params, session_id=session)
    else:
        client.upload_image(str(scan), "Doe^Jane")
        path, told = client.infer(MODEL, "Doe^Jane", params)
    assert path.endswith(".nrrd") and (labels_in(path) == result.labels).all()
    assert told["label_names"] == {structure.name: structure.label for structure in STRUCTURES}
    assert told["measurements"]["structures"] == result.measurements["structures"]
    assert client.infer(MODEL, "", {}, file=str(scan))[0].endswith(".nii.gz")


@pytest.mark.slow
def test_their_client_sees_one_model_and_keeps_images_and_labels(client, service, scan, result):
    # First: with the headers that it keeps from a form it has sent, it could not.
    session = client.create_session(str(scan))["session_id"]
    client.remove_session(session)
    info = client.info()
    assert list(info["models"]) == [MODEL] and info["models"][MODEL]["type"] == "segmentation"
    assert info["labels"] == [structure.name for structure in STRUCTURES]
    identifier = client.upload_image(str(scan), "Doe^Jane")["image"]
    path, _ = client.infer(MODEL, identifier, {"result_extension": ".nrrd"})
    for name in ("Doe^Jane", identifier):
        assert client.save_label(name, path, "final")["image"] == identifier
    assert client.datastore()["objects"][identifier]["labels"] == {"final": {"ext": ".nrrd", "info": {}}}
    assert client.info()["datastore"] == {"total": 1, "completed": 1, "label_tags": {"final": 1}}
    assert (labels_in(client.download_label(identifier, "final")) == result.labels).all()
    assert service.ask("GET", f"/session/{session}").status_code == 404
    assert not client.train_status(check_if_running=True)
    assert not [path for path in service.settings.queue.rglob("*") if "Doe" in path.name]


def infer(service, scan=None, *, owner="alice", params=None, **query):
    parts = {"params": (None, json.dumps(params or {}))}
    if scan:
        parts["file"] = (scan.name, scan.read_bytes())
    return service.ask("POST", f"/infer/{MODEL}", owner=owner, params=query, files=parts)


def test_a_viewer_gets_the_label_map_alone(service, scan, result, tmp_path):
    answer = infer(service, scan, params={"result_extension": ".nrrd", "result_compress": False}, output="image")
    (tmp_path / "labels.nrrd").write_bytes(answer.content)
    assert (labels_in(tmp_path / "labels.nrrd") == result.labels).all()
    assert infer(service, scan, output="json").json()["label_names"]["Aorta"] == 5
    assert service.ask("GET", "/api/jobs").json() == []  # its jobs go as soon as it has them


def test_structures_that_were_not_found_are_not_named(service, engine, scan):
    """Slicer gives the names, in order, to the values that the label map holds."""
    engine.result.measurements["structures"]["aorta"]["volume_ml"], volume = (
        0.0,
        engine.result.measurements["structures"]["aorta"]["volume_ml"],
    )
    try:
        names = infer(service, scan, output="json").json()["label_names"]
    finally:
        engine.result.measurements["structures"]["aorta"]["volume_ml"] = volume
    assert "Aorta" not in names and len(names) == len(STRUCTURES) - 1


def test_images_and_sessions_are_their_owners_alone(service, scan):
    files = {"file": ("Doe.nii.gz", scan.read_bytes())}
    image = service.ask("PUT", "/datastore/?image=Doe", files=files).json()["image"]
    session = service.ask("PUT", "/session/", files={"files": files["file"]}).json()["session_id"]
    for name in (image, session, "Doe"):
        query = {"image": name, "label": name, "id": name, "tag": "final"}
        assert infer(service, owner="bob", image=name).status_code == 404
        assert infer(service, owner="bob", session_id=name).status_code == 404
        for method, path in (
            ("GET", "/datastore/image"), ("DELETE", "/datastore/image"), ("GET", "/datastore/label"),
            ("GET", f"/session/{name}"), ("DELETE", f"/session/{name}"),
        ):  # fmt: skip
            assert service.ask(method, path, owner="bob", params=query).status_code == 404, (method, path)
    assert service.ask("GET", "/datastore/?output=all", owner="bob").json()["objects"] == {}
    assert service.ask("GET", "/datastore/image", params={"image": "Doe"}).content == scan.read_bytes()
    assert service.ask("DELETE", "/datastore/", params={"id": "Doe"}).status_code == 200
    assert infer(service, image="Doe").status_code == 404


@pytest.mark.parametrize(
    ("query", "params", "status", "text"),
    [
        ({"image": "none"}, {}, 404, "no such image"),
        ({"image": "../../jobs"}, {}, 404, "no such image"),
        ({"image": "none"}, {"result_extension": ".png"}, 400, "result_extension: found '.png'"),
        ({"image": "none"}, [], 404, "no such image"),
        ({"image": "none"}, [1], 400, "expected a JSON object"),
    ],
)
def test_what_cannot_be_inferred_is_refused(service, query, params, status, text):
    answer = infer(service, params=params, **query)
    assert answer.status_code == status and text in answer.json()["error"]


def test_other_models_and_wrong_passwords_are_refused(service):
    assert service.ask("POST", "/infer/spleen", files={"params": (None, "{}")}).status_code == 404
    for form, status in (({"password": "wrong"}, 401), ({}, 401), ({"password": "x" * 10_000}, 413)):
        assert requests.post(service.url + "/auth/token", data=form, timeout=10).status_code == status


def test_a_failure_is_told(service, tmp_path):
    (tmp_path / "list.nii.gz").write_text("shopping list")
    answer = infer(service, tmp_path / "list.nii.gz")
    assert answer.status_code == 500 and answer.json()["error"].startswith("the scan: ")


def test_who_goes_away_while_it_runs_cancels_it(service, engine, scan):
    engine.go.clear()
    headers = {"Authorization": f"Bearer {service.tokens['alice']}"}
    files = {"params": (None, "{}"), "file": (scan.name, scan.read_bytes())}
    with pytest.raises(requests.Timeout):
        requests.post(f"{service.url}/infer/{MODEL}", headers=headers, files=files, timeout=1)
    wait_for(lambda: [job["state"] for job in service.ask("GET", "/api/jobs").json()] in ([], ["cancelled"]))


def test_without_tokens_no_login_is_asked_for(engine, scan, tmp_path):
    with running(engine, tmp_path / "queue", owners=()) as service:
        assert service.ask("GET", "/auth/").json() == {"enabled": False}
        assert infer(service, scan, output="json").status_code == 200


def test_a_series_of_the_archive_is_named_by_its_uid(engine, phantom, tmp_path, monkeypatch):
    def fetch(url, series, folder):
        assert (url, series) == ("http://archive.example/dicom-web", "1.2.3")
        scans.write_dicom(phantom, folder, series=series)

    monkeypatch.setattr("whs_fast.service.monai_label.fetch_series", fetch)
    with running(engine, tmp_path / "queue", archive="http://archive.example/dicom-web") as service:
        answer = infer(service, image="1.2.3", output="json")
        assert answer.status_code == 200 and answer.json()["measurements"]["schema"] == 1
        assert infer(service, image="../1").status_code == 404
        assert list((service.settings.queue / "partial").iterdir()) == []
