"""Who gets the scan, what is saved of what is sent, and what is refused."""

import base64
import gzip
import json
import signal
import struct
import subprocess
import sys
from importlib import resources
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit
from urllib.request import url2pathname

import jsonschema
import numpy as np
import pytest
import requests
import SimpleITK as sitk
from scipy.ndimage import map_coordinates, maximum_filter, minimum_filter
from whs_fast.cli import main
from whs_fast.steps.region import REACH_MM
from whs_fast.structures import BY_KEY
from whs_fast.viewing import niivue
from whs_fast.viewing.session import CHANGE, Session
from whs_fast.volume import Grid, index_to_mm, mm_to_index
from whs_fast.writing.label_maps import nifti_header, write_labels


def split(address):
    url, token = address.split("#")
    return url.rstrip("/"), {"Authorization": f"Bearer {token}"}


def read_labels(folder):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "labels.nii.gz")))


def change(*voxels):
    return np.array(list(voxels), CHANGE).tobytes()


def free(scan):
    """Where neither a voxel nor its neighbours lie at the ends of the window: there sampling and windowing commute."""
    return (minimum_filter(scan, 3) > 0) & (maximum_filter(scan, 3) < 255)


def test_nothing_of_the_scan_is_given_without_the_token(address):
    url, _ = split(address)
    for path in ("/scan", "/coarse", "/labels", "/facts", "/views/0", "/nowhere"):
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            assert requests.get(url + path, headers=headers, timeout=20).status_code == 401
    assert requests.post(f"{url}/save?by=me", data=b"", timeout=20).status_code == 401
    for path in ("/", "/page.js", "/editing.js", "/drawing.js", "/oblique.js", "/page.css", "/niivue.js"):
        assert requests.get(url + path, timeout=20).status_code == 200


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"},
                                     {"Sec-Fetch-Site": "cross-site"}])  # fmt: skip
def test_other_names_and_other_sites_are_refused(address, headers):
    url, token = split(address)
    assert requests.get(f"{url}/labels", headers=token | headers, timeout=20).status_code == 403


def test_the_page_gets_the_scan_in_hu_and_the_labels_on_one_grid(address, results, scan):
    url, token = split(address)
    facts = requests.get(f"{url}/facts", headers=token, timeout=20).json()
    sent = requests.get(f"{url}/scan", headers=token, timeout=20).content
    slope, low = struct.unpack_from("<2f", base64.b64decode(facts["frame"]), 112)
    voxels = np.frombuffer(sent, np.uint8).reshape(facts["shape"])
    labels = np.frombuffer(requests.get(f"{url}/labels", headers=token, timeout=20).content, np.uint8)
    labels = labels.reshape(facts["shape"])
    np.testing.assert_array_equal(np.bincount(labels.ravel()), np.bincount(read_labels(results).ravel()))
    blood = voxels[labels == BY_KEY["aorta"].label] * slope + low
    assert 200 < np.median(blood) < 600 and facts["volumes"]["aorta"] > 1
    np.testing.assert_allclose(np.abs(np.linalg.det(np.array(facts["to_mm"])[:3, :3])) / 1000, facts["voxel_ml"])


def test_of_a_scan_of_the_chest_the_page_gets_the_heart(tmp_path):
    """The region around the valve, and what was labelled outside it; changes find their way back into the scan."""
    shape, valve = (130, 200, 210), (40.0, -30.0, 200.0)
    grid = Grid(shape, (2.0, 2.0, 3.0), (-170.0, 170.0, 0.0), (1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0))
    labels = np.zeros(shape, np.uint8)
    at = tuple(round(value) for value in mm_to_index(grid, valve))
    labels[at[0] - 5 : at[0] + 5, at[1] - 5 : at[1] + 5, at[2] - 5 : at[2] + 5] = BY_KEY["aorta"].label
    labels[2, 3, 4] = BY_KEY["left_atrium"].label  # far outside
    array = np.random.default_rng(0).integers(-900, 900, shape, np.int16)
    (tmp_path / "scan.nii").write_bytes(nifti_header(grid, array.dtype, b"") + array.tobytes())
    told = {"timings_s": {"write": 0.0, "total": 0.0}, "models": {}, "peak_memory_mb": None, "structures": {}}
    for inside, name in ((False, "far"), (True, "near")):
        (tmp_path / name).mkdir()
        own = np.where(labels == BY_KEY["left_atrium"].label, 0, labels) if inside else labels
        write_labels(tmp_path / name / "labels.nii.gz", own.astype(np.uint8), grid)
        (tmp_path / name / "measurements.json").write_text(json.dumps(told | {"aortic_valve_mm": valve}))
        session = Session(tmp_path / name, tmp_path / "scan.nii", threads=2, series=None, phase=None)
        wide = session.facts()["shape"][::-1]
        assert np.count_nonzero(np.frombuffer(session.labels_bytes(), np.uint8)) == np.count_nonzero(own)
        room = [2 * reach + 3 * mm - n * mm for n, mm, reach in zip(wide, grid.spacing_mm, REACH_MM, strict=True)]
        assert (min(room) >= 0) == inside
        x, y, z = (n // 3 for n in wide)
        changed = session._changed(change((x + wide[0] * (y + wide[1] * z), 9))) != own
        assert np.count_nonzero(changed) == 1
        there = np.array(session.facts()["to_mm"]) @ [x, y, z, 1]
        np.testing.assert_allclose(index_to_mm(grid, np.argwhere(changed)[0]), there[:3] * (-1, -1, 1), atol=1e-3)


def test_the_coarse_image_and_the_frame_fill_the_same_box(address):
    url, token = split(address)
    facts = requests.get(f"{url}/facts", headers=token, timeout=20).json()
    full = np.frombuffer(requests.get(f"{url}/labels", headers=token, timeout=20).content, np.uint8)
    scan = np.frombuffer(requests.get(f"{url}/scan", headers=token, timeout=20).content, np.uint8)
    both = np.frombuffer(requests.get(f"{url}/coarse", headers=token, timeout=20).content, np.uint8)
    assert max(facts["coarse"]) == 160 < max(facts["shape"])
    coarse_scan, coarse_labels = both.reshape(2, *facts["coarse"])
    # As a texture is looked up: the shares of the box at which the middles of the coarse voxels lie.
    at = np.ix_(*((np.arange(n) + 0.5) / n * m - 0.5 for n, m in zip(facts["coarse"], facts["shape"], strict=True)))
    place = np.stack(np.broadcast_arrays(*at)).reshape(3, -1)
    edge = np.abs(place - np.floor(place) - 0.5).min(axis=0) < 1e-3  # half-way between two voxels
    nearest = map_coordinates(full.reshape(facts["shape"]), place, order=0, mode="nearest")
    np.testing.assert_array_equal(coarse_labels.ravel()[~edge], nearest[~edge])
    scan = scan.reshape(facts["shape"]).astype(np.float32)
    inside = free(scan)[tuple(np.rint(place).astype(int))]
    smooth = map_coordinates(scan, place[:, inside], order=1, mode="nearest")
    assert np.count_nonzero(inside) > 1e5 and np.abs(coarse_scan.ravel()[inside] - smooth).max() <= 2
    header = base64.b64decode(facts["frame"])
    frame = np.array(struct.unpack_from("<12f", header, 280)).reshape(3, 4)
    to_mm = np.array(facts["to_mm"])[:3]
    for corner in product((-0.5, 1.5), repeat=3):
        there = [(value + 0.5) / 2 * count - 0.5 for value, count in zip(corner, facts["shape"][::-1], strict=True)]
        np.testing.assert_allclose(frame @ [*corner, 1], to_mm @ [*there, 1], atol=1e-3)


def test_a_plane_of_the_heart_shows_the_scan_where_it_says(address):
    url, token = split(address)
    facts = requests.get(f"{url}/facts", headers=token, timeout=20).json()
    scan = np.frombuffer(requests.get(f"{url}/scan", headers=token, timeout=20).content, np.uint8)
    scan = scan.reshape(facts["shape"]).astype(float)
    rng = np.random.default_rng(1)
    for number, view in enumerate(facts["views"]):
        shape = view["place"]["shape"]
        block = requests.get(f"{url}/views/{number}", headers=token, timeout=20).content
        block = np.frombuffer(block, np.uint8).reshape(shape)
        index = np.stack([rng.integers(0, count, 2000) for count in shape])
        mm = np.array(view["to_mm"])[:3] @ np.vstack([index[::-1], np.ones(2000)])
        to_mm = np.array(facts["to_mm"])
        place = np.linalg.solve(to_mm[:3, :3], mm - to_mm[:3, 3:])[::-1]
        inside = ((place > 0) & (place < np.array(scan.shape)[:, None] - 1)).all(axis=0)
        inside &= free(scan)[tuple(np.clip(np.rint(place).astype(int), 0, np.array(scan.shape)[:, None] - 1))]
        assert np.count_nonzero(inside) > 200
        expected = map_coordinates(scan, place[:, inside], order=1)
        assert np.abs(block[tuple(index[:, inside])] - expected).max() <= 2
    assert requests.get(f"{url}/views/{len(facts['views'])}", headers=token, timeout=20).status_code == 404


def test_what_is_sent_is_saved_and_measured_and_no_more(address, results, tmp_path):
    url, token = split(address)
    facts = requests.get(f"{url}/facts", headers=token, timeout=20).json()
    nz, ny, nx = facts["shape"]
    before = read_labels(results)
    added = [(x + nx * (ny // 2 + ny * (nz // 2)), BY_KEY["left_atrium"].label) for x in range(4, 24)]
    answer = requests.post(f"{url}/save?by=A%20Reader", data=change(*added), headers=token, timeout=120)
    assert answer.status_code == 200, answer.text
    after, out = read_labels(tmp_path / "out"), tmp_path / "out"
    changed = before != after
    assert 0 < np.count_nonzero(changed) <= 20 and (after[changed] == BY_KEY["left_atrium"].label).all()
    found = json.loads((out / "measurements.json").read_text("utf-8"))
    schema = json.loads((resources.files("whs_fast") / "data" / "measurements.schema.json").read_text("utf-8"))
    jsonschema.validate(found, schema)
    (entry,) = found["corrected"]
    assert entry["by"] == "A Reader" and "confidence" not in found
    ml = np.count_nonzero(changed) * facts["voxel_ml"]
    assert entry["structures"]["left_atrium"]["added_ml"] == pytest.approx(ml, abs=1e-3)
    assert found["structures"]["left_atrium"]["volume_ml"] == pytest.approx(
        facts["volumes"]["left_atrium"] + ml - entry["structures"]["left_atrium"]["removed_ml"], abs=2e-3
    )
    report = (out / "report.html").read_text("utf-8")
    assert "Corrected by hand" in report and "A Reader: " in report
    assert (out / "labels.dcm").exists() and gzip.decompress((out / "labels.nii.gz").read_bytes())


@pytest.mark.parametrize(
    ("query", "body", "told"),
    [
        ("by=", b"", "by: nothing found, expected who corrected the labels"),
        ("by=me", b"123", "changes: found 3 bytes, expected 5 for each voxel"),
        ("by=me", change((2**32 - 1, 1)), "changes: expected voxels of the scan and labels from 0 to 10"),
        ("by=me", change((0, 11)), "changes: expected voxels of the scan and labels from 0 to 10"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_written(address, tmp_path, query, body, told):
    url, token = split(address)
    answer = requests.post(f"{url}/save?{query}", data=body, headers=token, timeout=20)
    assert (answer.status_code, answer.json()["error"]) == (400, told) and not (tmp_path / "out").exists()


def test_results_of_another_scan_are_refused_in_one_line(results, tmp_path, capsys):
    image = sitk.GetImageFromArray(np.random.default_rng(0).integers(-900, 900, (20, 20, 20), np.int16))
    image.SetSpacing((5.0, 5.0, 5.0))
    sitk.WriteImage(image, str(tmp_path / "other.nii.gz"))
    assert main(["view", str(results), str(tmp_path / "other.nii.gz"), "-o", str(tmp_path / "o"), "--no-browser"]) == 2
    told = capsys.readouterr().err
    expected = "expected the scan's 20 x 20 x 20 voxels from 0.0, 0.0, 0.0 mm: another scan?"
    assert expected in told and told.count("\n") == 1


@pytest.mark.parametrize("content", [None, "{", "[]", '{"structures": {}}'])
def test_a_folder_without_measurements_is_refused_in_one_line(tmp_path, capsys, content):
    if content is not None:
        (tmp_path / "measurements.json").write_text(content)
    assert main(["view", str(tmp_path), str(tmp_path / "scan.nii"), "-o", str(tmp_path / "o"), "--no-browser"]) == 2
    told = capsys.readouterr().err
    assert "measurements.json: " in told and "whs-fast run" in told and told.count("\n") == 1


def test_another_bundle_of_niivue_is_refused(monkeypatch, tmp_path):
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "widget.js").write_text("export default {}")
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(niivue, "find_spec", lambda name: found)
    with pytest.raises(niivue.InputError, match=r"pip install 'whs-fast\[view\]'"):
        niivue.niivue_script()


def test_the_browser_is_not_told_the_token_where_others_can_see_it(results, scan, tmp_path, monkeypatch, capsys):
    """Arguments of a process are open to every user of the machine; a file in a folder of one's own is not."""
    opened = []

    def look(uri):
        path = Path(url2pathname(urlsplit(uri).path))
        opened.append((uri, path.read_text("ascii"), path.parent.parent.stat().st_mode & 0o077))

    monkeypatch.setattr("webbrowser.open", look)
    monkeypatch.setattr(
        "whs_fast.viewing.serving.serve", lambda session, save, server, tell: tell("http://here/#secret")
    )
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    assert main(["view", str(results), str(scan), "-o", str(tmp_path / "out")]) == 0
    ((uri, page, others),) = opened
    assert "secret" not in uri and '"http://here/#secret"' in page and others == 0
    assert "Open http://here/#secret" in capsys.readouterr().out
    assert (
        main(["view", str(results), str(scan), "-o", str(tmp_path / "out"), "--no-browser"]) == 0 and len(opened) == 1
    )


@pytest.mark.slow
def test_the_command_serves_until_it_is_told_to_stop(results, scan, tmp_path):
    command = [sys.executable, "-m", "whs_fast", "view", str(results), str(scan), "-o", str(tmp_path / "out")]
    process = subprocess.Popen([*command, "--no-browser"], stdout=subprocess.PIPE, text=True)
    try:
        url, token = split(process.stdout.readline().split()[1])
        assert requests.get(f"{url}/facts", headers=token, timeout=60).json()["volumes"]["aorta"] > 1
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0 and not (tmp_path / "out").exists()
    finally:
        process.kill()
