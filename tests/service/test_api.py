"""The HTTP interface: from a scan to its results, what it tells and what it does not, and its description."""

import gzip
import json
import re
from importlib import resources

import openapi_spec_validator
import pytest
import requests
import SimpleITK as sitk
from support import scans
from support.local_service import events, running
from support.waiting import wait_for

DESCRIPTION = json.loads((resources.files("whs_fast.service") / "page" / "openapi.json").read_text("utf-8"))


def files_in(queue):
    return [path for path in queue.rglob("*") if path.is_file()]


def test_a_scan_becomes_results(service, engine, scan):
    answer = service.send(scan)
    job = answer.json()
    assert answer.status_code == 201 and answer.headers["Location"] == f"/api/jobs/{job['id']}"
    ended = service.end(job["id"])
    assert (ended["state"], ended["done"], ended["reason"]) == ("done", 1.0, None)
    assert ended["results"] == ["labels.nii.gz", "measurements.json", "preview.png", "report.html"]
    got = {name: service.ask("GET", f"/api/jobs/{job['id']}/results/{name}") for name in ended["results"]}
    assert {name: answer.status_code for name, answer in got.items()} == dict.fromkeys(got, 200)
    stored = gzip.decompress(got["labels.nii.gz"].content)
    assert stored.endswith(engine.result.labels.tobytes())
    assert got["measurements.json"].json()["structures"] == engine.result.measurements["structures"]
    assert got["report.html"].headers["Content-Type"].startswith("text/html")
    assert "sandbox" in got["report.html"].headers["Content-Security-Policy"]


def test_events_tell_of_every_step_until_the_end(service, engine, scan):
    engine.go.clear()
    job = service.send(scan).json()
    wait_for(lambda: service.ask("GET", f"/api/jobs/{job['id']}").json()["step"] == "segment")
    with service.ask("GET", f"/api/jobs/{job['id']}/events", stream=True) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        engine.go.set()
        told = events(answer)
    assert [job["state"] for job in told][-2:] == ["running", "done"]
    shares = [job["done"] for job in told]
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert told[-1] == service.ask("GET", f"/api/jobs/{job['id']}").json()


def test_one_stream_tells_of_all_jobs_of_its_owner(service, engine, scan):
    first = service.end(service.send(scan).json()["id"])
    with service.ask("GET", "/api/events", stream=True) as answer:
        lines = answer.iter_lines(decode_unicode=True)
        told = (json.loads(line[6:]) for line in lines if line.startswith("data: "))
        assert next(told) == first
        service.send(scan, owner="bob")
        second = service.send(scan).json()["id"]
        found = [next(told)]
        while not found[-1]["ended"]:
            found.append(next(told))
    assert {job["id"] for job in found} == {second} and found[-1]["state"] == "done"


def test_jobs_wait_in_order_and_each_owner_sees_their_own(service, engine, scan):
    engine.go.clear()
    first, other, second = service.send(scan), service.send(scan, owner="bob"), service.send(scan)
    wait_for(lambda: engine.sources)
    assert [job["before"] for job in service.ask("GET", "/api/jobs").json()] == [2, 0]
    assert [job["id"] for job in service.ask("GET", "/api/jobs", owner="bob").json()] == [other.json()["id"]]
    engine.go.set()
    for answer, owner in ((first, "alice"), (other, "bob"), (second, "alice")):
        assert service.end(answer.json()["id"], owner=owner)["state"] == "done"


def test_what_is_one_owners_is_not_there_for_another(service, scan):
    job = service.end(service.send(scan).json()["id"])
    for method, path in (
        ("GET", ""), ("GET", "/events"), ("GET", "/results/labels.nii.gz"), ("GET", "/results/report.html"),
        ("POST", "/cancel"), ("DELETE", ""),
    ):  # fmt: skip
        answer = service.ask(method, f"/api/jobs/{job['id']}{path}", owner="bob")
        absent = service.ask(method, f"/api/jobs/0123456789abcdef{path}", owner="bob")
        assert (answer.status_code, answer.content) == (404, absent.content), path
    assert service.ask("GET", f"/api/jobs/{job['id']}/results/labels.nii.gz").status_code == 200


@pytest.mark.parametrize("name", ["../job.json", "%2e%2e/job.json", "..%2fjob.json", "/etc/passwd", "labels", ""])
def test_only_results_are_given_out(service, scan, name):
    job = service.end(service.send(scan).json()["id"])
    address = f"{service.url}/api/jobs/{job['id']}/results/{name}"
    request = requests.Request("GET", address, headers={"Authorization": f"Bearer {service.tokens['alice']}"}).prepare()
    request.url = address  # as it is
    with requests.Session() as session:
        answer = session.send(request, timeout=10)
    assert answer.status_code == 404 and "owner" not in answer.text


def test_a_job_is_cancelled_while_it_waits_and_while_it_runs(service, engine, scan):
    engine.go.clear()
    running_one, waiting = service.send(scan).json()["id"], service.send(scan).json()["id"]
    wait_for(lambda: engine.sources)
    for identifier in (waiting, running_one):
        assert service.ask("POST", f"/api/jobs/{identifier}/cancel").json()["state"] == "cancelled"
    wait_for(lambda: service.ask("DELETE", f"/api/jobs/{running_one}").status_code == 204)
    assert service.ask("GET", f"/api/jobs/{running_one}").status_code == 404
    engine.go.set()
    assert service.end(service.send(scan).json()["id"])["state"] == "done"
    assert len(engine.sources) == 2
    assert not [path for path in files_in(service.settings.queue) if path.name.endswith("00000.nii.gz")]


def test_a_dicom_series_arrives_as_its_files_or_as_a_zip(service, engine, phantom, tmp_path):
    series = scans.write_dicom(phantom, tmp_path / "series", series="1.2.3")
    job = service.end(service.send(*sorted(series.iterdir()), formats="nifti, dicom-seg", series="1.2.3").json()["id"])
    assert (job["state"], job["reason"]) == ("done", None)
    assert {"labels.dcm", "measurements.dcm", "labels.nii.gz"} <= set(job["results"])
    assert engine.sources[0][1:] == ("1.2.3", None)


def test_a_failure_tells_its_owner_why_and_no_place_on_the_disk(service, tmp_path, scan):
    (tmp_path / "Doe.nii.gz").write_text("shopping list")
    job = service.end(service.send(tmp_path / "Doe.nii.gz").json()["id"])
    assert job["state"] == "failed" and job["reason"].startswith("the scan: ") and job["results"] == []
    assert str(tmp_path) not in job["reason"]
    job = service.end(service.send(scan, formats="dicom-seg").json()["id"])
    assert job["state"] == "failed" and "need a DICOM folder" in job["reason"]


def test_a_fault_of_ours_fails_one_job_alone(service, engine, scan, monkeypatch, caplog):
    def fault(*arguments, **how):
        raise RuntimeError("Doe^Jane")

    with monkeypatch.context() as patched:
        patched.setattr(engine, "run", fault)
        job = service.end(service.send(scan).json()["id"])
    assert (job["state"], job["reason"]) == ("failed", "internal error: RuntimeError")
    assert service.end(service.send(scan).json()["id"])["state"] == "done"
    assert "Doe" not in caplog.text


def test_a_fault_of_ours_in_a_request_tells_nothing(service, monkeypatch, caplog, capfd):
    def fault(*arguments):
        raise RuntimeError("Doe^Jane")

    monkeypatch.setattr("whs_fast.service.queue.Queue.jobs", fault)
    answer = service.ask("GET", "/api/jobs")
    assert (answer.status_code, answer.json()) == (500, {"error": "internal error: RuntimeError"})
    assert "a request failed with RuntimeError" in caplog.text and "Doe" not in caplog.text
    assert "Doe" not in "".join(capfd.readouterr())


def test_a_path_is_read_where_the_operator_allows_it(engine, scan, tmp_path):
    folder, outside = tmp_path / "allowed", tmp_path / "outside"
    for place in (folder, outside):
        place.mkdir()
        (place / "Doe.nii.gz").write_bytes(scan.read_bytes())
    (folder / "link.nii.gz").symlink_to(outside / "Doe.nii.gz")
    (folder / "inner.nii.gz").symlink_to(folder / "Doe.nii.gz")
    with running(engine, tmp_path / "queue", folders=(folder,)) as service:
        for path in (folder / "Doe.nii.gz", folder / "inner.nii.gz"):
            assert service.end(service.send(path=str(path)).json()["id"])["state"] == "done"
        refusals = set()
        for path in (
            outside / "Doe.nii.gz",
            folder / "link.nii.gz",
            f"{folder}/../outside/Doe.nii.gz",
            "/nowhere",
            "a\0",
        ):
            job = service.end(service.send(path=str(path)).json()["id"])
            assert job["state"] == "failed"
            refusals.add(job["reason"])
        assert len(refusals) == 1 and "below an allowed folder" in refusals.pop()
        assert (folder / "Doe.nii.gz").exists()
        assert not [path for path in files_in(service.settings.queue) if b"Doe.nii" in path.read_bytes()]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "expected either files or a path"),
        ({"file": b"x", "path": "/a"}, "expected either files or a path"),
        ({"file": b"x", "formats": "jpeg"}, "'jpeg' is unknown"),
        ({"file": b"x", "report": "long"}, "'long' is unknown"),
        ({"file": b"x", "speed": "fast"}, "found 'speed', expected file, path"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_one_line(service, fields, text):
    parts = {name: ("scan.nii", value) if name == "file" else (None, value) for name, value in fields.items()}
    answer = service.ask("POST", "/api/jobs", files=parts or {"report": (None, "plain")})
    assert answer.status_code == 400 and text in answer.json()["error"] and "\n" not in answer.json()["error"]
    assert service.ask("GET", "/api/jobs").json() == []
    assert list((service.settings.queue / "partial").iterdir()) == []


def test_no_name_of_a_file_is_kept_or_logged(service, scan, caplog):
    caplog.set_level("DEBUG")
    job = service.end(service.send(scan).json()["id"])
    told = [caplog.text, json.dumps(job), *(str(path) for path in files_in(service.settings.queue))]
    told += [path.read_text("latin-1") for path in files_in(service.settings.queue)]
    assert job["id"] in caplog.text
    assert not [text for text in told if "Doe^Jane" in text or "1970.nii" in text]


def test_the_description_names_every_route_and_what_they_answer_fits_it(service, scan):
    openapi_spec_validator.validate(DESCRIPTION)
    assert service.ask("GET", "/openapi.json").json() == DESCRIPTION
    from whs_fast.service.api import _PAGE, Api
    from whs_fast.service.monai_label import MonaiLabel

    routes = [*Api(None, stopping=None, cookie="", secure=False).routes()]
    routes += [
        *MonaiLabel(type("Queue", (), {"root": scan.parent})(), stopping=None, owners=None, archive=None).routes()
    ]
    served = {
        (re.sub(r":path}", "}", route.path), method.lower())
        for route in routes
        for method in route.methods - {"HEAD"}
        if route.path not in _PAGE
    } - {("/datastore/", "put"), ("/datastore/", "delete")}  # told of under /datastore/image
    described = {
        (path, method) for path, item in DESCRIPTION["paths"].items() for method in item if method != "parameters"
    }
    assert described == served


def test_labels_of_the_service_are_read_as_a_label_map(service, scan, tmp_path, result):
    job = service.end(service.send(scan, formats="seg.nrrd").json()["id"])
    path = tmp_path / "labels.seg.nrrd"
    path.write_bytes(service.ask("GET", f"/api/jobs/{job['id']}/results/labels.seg.nrrd").content)
    assert (sitk.GetArrayFromImage(sitk.ReadImage(path)) == result.labels).all()
