"""The module that runs networks: right answers, quiet, float32, shared between threads."""

import hashlib
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import whs_fast
from support.phantom import BODY_RADIUS_MM, make_models, make_sums
from whs_fast.errors import ModelError
from whs_fast.networks.installed import describe_models
from whs_fast.networks.openvino_model import Model, describe_runtime, predict_batches

BATCH = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def model(folder):
    return Model(folder / "squeezenet_axial.xml", threads=2, shapes=((BATCH, 1, 192, 192),))


def images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 5, (count, 1, 192, 192), np.uint8)


def expected_distances(slices):
    area = np.minimum(slices.astype(np.float64) / 10.0, 1.0).sum(axis=(1, 2, 3)) * 4.0
    seen_radius_mm = np.where(area > 1.1 * np.pi * BODY_RADIUS_MM**2, 2, 1) * BODY_RADIUS_MM
    return np.sqrt(np.maximum(seen_radius_mm**2 - area / np.pi, 0.0))


def test_answers_are_those_of_the_graph(model):
    slices = images(BATCH)
    np.testing.assert_allclose(model(slices)[0][:, 0], expected_distances(slices), rtol=1e-4)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 9])
def test_batches_give_each_image_its_own_answer_whatever_its_companions(model, count):
    slices = images(count)
    together = predict_batches(model, slices, batch=BATCH)
    assert together.shape == (count, 4) and together.dtype == np.float32
    for index in range(count):
        alone = predict_batches(model, slices[index : index + 1], batch=BATCH)[0]
        np.testing.assert_array_equal(together[index], alone)


def test_an_answer_is_the_callers_own_and_outlives_the_next_call(model):
    (first,) = model(images(BATCH, seed=1))
    kept = first.copy()
    model(images(BATCH, seed=2))
    np.testing.assert_array_equal(first, kept)


def test_a_strided_input_is_read_as_what_it_shows(model):
    slices = images(BATCH)
    np.testing.assert_array_equal(model(slices[..., ::-1])[0], model(np.ascontiguousarray(slices[..., ::-1]))[0])


def test_threads_share_a_model(model):
    inputs = [images(BATCH, seed) for seed in range(12)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(model, inputs))
    for given, answer in zip(inputs, answers, strict=True):
        np.testing.assert_array_equal(answer[0], model(given)[0])


@pytest.mark.parametrize("kept", [False, True])
def test_precision_is_float32_and_threads_are_as_asked(folder, tmp_path, monkeypatch, kept):
    if kept:
        monkeypatch.setenv("WHS_FAST_CACHE", str(tmp_path))
    for _ in range(1 + kept):  # the second takes over what the first has compiled
        model = Model(folder / "squeezenet_axial.xml", threads=2, shapes=((BATCH, 1, 192, 192),))
        model.prepare()
    # Nothing that a user sees tells the number of threads.
    compiled = model._request.get_compiled_model()
    assert compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 2


def test_hash_covers_graph_and_weights(folder, model):
    content = b"".join((folder / f"squeezenet_axial.{suffix}").read_bytes() for suffix in ("xml", "bin"))
    assert model.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (np.zeros((BATCH, 1, 192, 192), np.float32), TypeError, "found input of type float32, expected uint8"),
        (np.zeros((BATCH + 1, 1, 192, 192), np.uint8), ValueError, r"found input of shape \(5, 1, 192, 192\)"),
    ],
)
def test_wrong_input_is_refused(model, given, error, text):
    with pytest.raises(error, match=text):
        model(given)


def test_inputs_that_are_missing_or_too_many_are_refused(model):
    for count in (0, 2):
        with pytest.raises(TypeError, match=f"found {count} inputs, expected 1"):
            model(*[images(BATCH)] * count)


def test_several_inputs_and_outputs_keep_their_order(tmp_path):
    model = Model(make_sums(tmp_path), threads=2, shapes=((2, 3), (4,)))
    a, b = np.arange(6, dtype=np.uint8).reshape(2, 3), np.arange(4, dtype=np.float32)
    doubled, negated = model(a, b)
    np.testing.assert_array_equal(doubled, a.astype(np.float32) * 2)
    np.testing.assert_array_equal(negated, -b)


def test_releasing_memory_changes_no_answer(model):
    model.release_memory()  # nothing yet to release
    (before,) = model(images(BATCH))
    model.release_memory()
    np.testing.assert_array_equal(model(images(BATCH))[0], before)


@pytest.mark.parametrize("missing", ["xml", "bin"])
def test_a_missing_file_is_named_at_once(tmp_path, missing):
    make_models(tmp_path)
    file = tmp_path / f"squeezenet_axial.{missing}"
    file.unlink()
    with pytest.raises(ModelError, match=re.escape(f"{file}: no such model file")):
        Model(tmp_path / "squeezenet_axial.xml", threads=1)


def test_a_broken_model_is_refused_in_one_line(tmp_path):
    (tmp_path / "broken.xml").write_text("<net", encoding="ascii")
    (tmp_path / "broken.bin").write_bytes(b"")
    with pytest.raises(ModelError, match=r"broken\.xml: does not compile") as caught:
        Model(tmp_path / "broken.xml", threads=1)(np.zeros(1, np.uint8))
    assert "\n" not in str(caught.value)


def test_a_missing_list_of_models_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"models\.json: cannot be read"):
        describe_models(tmp_path)


def test_runtime_is_described():
    assert set(describe_runtime()) == {"openvino", "cpu", "formats"}
    assert "FP32" in describe_runtime()["formats"]


@pytest.mark.parametrize("kept", [False, True])
def test_nothing_leaves_the_machine_and_compiled_networks_alone_are_left_at_home(folder, tmp_path, kept):
    """A fresh process with an empty home: no connection, no other file, and OpenVINO's reporting never loads."""
    program = f"""
import sys
attempts = []
sys.addaudithook(lambda event, _: attempts.append(event) if event.startswith("socket.") else None)
from pathlib import Path
import numpy as np
from whs_fast.networks.openvino_model import Model
model = Model(Path({str(folder)!r}) / "squeezenet_axial.xml", threads=1, shapes=((1, 1, 192, 192),))
model(np.zeros((1, 1, 192, 192), np.uint8))
import threading
for thread in threading.enumerate():  # a report would be sent by one of its own
    if thread is not threading.current_thread():
        thread.join(60)
reporting = [name for name in sys.modules if name.split(".")[0] == "openvino_telemetry"]
print(attempts, reporting)
"""
    home = tmp_path / "home"
    home.mkdir()
    hidden = ("CI", "TF_BUILD", "JENKINS_URL", *(("WHS_FAST_CACHE",) if kept else ()))
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    environment |= {"HOME": str(home), "USERPROFILE": str(home), "XDG_CACHE_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=home, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[] []", "")
    assert [file.suffix for file in home.rglob("*") if file.is_file()] == [".network"] * kept


def test_only_this_module_knows_openvino():
    package = Path(whs_fast.__file__).parent
    users = {
        file.relative_to(package).as_posix()
        for file in package.rglob("*.py")
        if re.search(r"^\s*(import|from) openvino", file.read_text("utf-8"), re.M)
    }
    assert users == {"networks/openvino_model.py"}
