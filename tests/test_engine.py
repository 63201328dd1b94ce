"""The whole way of the data, on a phantom whose answer is known, with networks that read it exactly."""

import errno
import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import SimpleITK as sitk
import whs_fast
from PIL import Image
from support.confidence import FEW, MANY, make_calibration
from support.phantom import VALVE_MM, check_anatomy, make_models, make_phantom, to_image
from whs_fast import InputError, OutputError, Volume
from whs_fast import _kernels as kernels
from whs_fast import engine as engine_module
from whs_fast import result as result_module
from whs_fast.engine import Engine
from whs_fast.networks.installed import hash_files, ir_files
from whs_fast.networks.openvino_model import ModelError
from whs_fast.structures import STRUCTURES
from whs_fast.volume import IDENTITY_DIRECTION
from whs_fast.writing.label_maps import write_labels

# Stored axes in terms of the phantom's x, y, z, and which of them run backwards.
ORIENTATIONS = [
    ((0, 1, 2), (True, False, False)),
    ((0, 1, 2), (False, True, True)),
    ((2, 0, 1), (False, False, False)),
    ((1, 2, 0), (True, True, True)),
    ((1, 0, 2), (False, False, True)),
    ((2, 1, 0), (False, True, False)),
]
TIMINGS = ["read", "localise", "segment", "clean", "measure", "write", "total"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def engine(models):
    return Engine(threads=2, models=models)


@pytest.fixture(scope="module")
def phantom():
    return make_phantom()


@pytest.fixture(scope="module")
def image(phantom):
    return to_image(phantom)


@pytest.fixture(scope="module")
def found(engine, phantom):
    """One result that tests look at and do not change; those that save take `again`."""
    return engine.run(phantom)


@pytest.fixture
def again(engine, phantom):
    """A result of its own for a test that changes it: saving notes the time it took."""
    return engine.run(phantom)


def test_the_fingerprint_changes_with_networks_and_calibration_alone(models, tmp_path):
    fingerprint = Engine(threads=2, models=models).fingerprint
    copy = shutil.copytree(models, tmp_path / "models")
    assert Engine(threads=1, backend="openvino", models=copy).fingerprint == fingerprint
    for name in ("dense_vnet.bin", "squeezenet_axial.xml", "confidence.json"):
        with (copy / name).open("ab") as file:
            file.write(b" ")
        fingerprint, before = Engine(models=copy).fingerprint, fingerprint
        assert fingerprint != before
    (copy / "vgg16_axial.bin").touch()
    assert Engine(models=copy).fingerprint == fingerprint


def stored(image, order, flips):
    return sitk.Flip(sitk.PermuteAxes(image, order), flips)


def label_image(result):
    image = sitk.GetImageFromArray(result.labels)
    image.SetSpacing(result.spacing_mm)
    image.SetOrigin(result.origin_mm)
    image.SetDirection(result.direction)
    return image


def dice(a, b):
    return 2.0 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_the_phantom_is_read_as_it_is(found):
    check_anatomy(found)
    assert found.labels.dtype == np.uint8


@pytest.mark.parametrize(
    ("spacing_mm", "shape", "direction"),
    [
        ((1.6, 1.6, 3.0), (54, 112, 112), IDENTITY_DIRECTION),
        ((2.0, 2.2, 2.4), (70, 76, 84), (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)),
        ((2.0, 2.0, 2.0), (84, 84, 84), (1.0, 0.0, 0.0, 0.0, 0.6, -0.8, 0.0, 0.8, 0.6)),
    ],
    ids=["thick slices", "turned", "tilted"],
)
def test_other_grids_are_read_as_well(engine, spacing_mm, shape, direction):
    check_anatomy(engine.run(make_phantom(spacing_mm=spacing_mm, shape=shape, direction=direction)))


def test_labels_lie_on_the_grid_of_the_input(found, phantom):
    assert found.labels.shape == phantom.array.shape
    assert (found.spacing_mm, found.origin_mm, found.direction) == (
        phantom.spacing_mm,
        phantom.origin_mm,
        phantom.direction,
    )


@pytest.mark.parametrize(("order", "flips"), ORIENTATIONS)
def test_a_scan_stored_another_way_gives_the_same_labels_in_the_patient(engine, found, image, order, flips):
    turned = stored(image, order, flips)
    result = engine.run(turned)
    assert result.labels.shape == turned.GetSize()[::-1]
    np.testing.assert_allclose(result.aortic_valve_mm, found.aortic_valve_mm, atol=0.1001)
    back = stored(sitk.Flip(label_image(result), flips), tuple(order.index(axis) for axis in range(3)), (False,) * 3)
    np.testing.assert_allclose(back.GetOrigin(), found.origin_mm, atol=1e-6)
    np.testing.assert_allclose(back.GetDirection(), found.direction, atol=1e-6)
    labels = sitk.GetArrayFromImage(back)
    for structure in STRUCTURES:
        assert dice(labels == structure.label, found.labels == structure.label) >= 0.999


def test_twice_the_same_is_identical_whatever_the_threads(models, phantom, found):
    for threads in (1, 3):
        result = Engine(threads=threads, models=models).run(phantom)
        np.testing.assert_array_equal(result.labels, found.labels)
        assert result.aortic_valve_mm == found.aortic_valve_mm
        assert result.measurements["structures"] == found.measurements["structures"]
        assert result.measurements["models"] == found.measurements["models"]


def test_an_engine_serves_several_threads(engine, phantom, found):
    with ThreadPoolExecutor(2) as pool:
        for result in pool.map(lambda _: engine.run(phantom), range(2)):
            np.testing.assert_array_equal(result.labels, found.labels)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_files_and_images_give_what_the_volume_gives(engine, found, image, tmp_path, suffix):
    path = tmp_path / f"scan{suffix}"
    sitk.WriteImage(image, path)
    result = engine.run(path)
    assert dice(result.labels > 0, found.labels > 0) >= 0.999
    np.testing.assert_allclose(result.origin_mm, found.origin_mm, atol=1e-3)


def test_measurements_have_every_field(found):
    measurements = found.measurements
    assert list(measurements) == [
        "schema", "aortic_valve_mm", "structures", "lv_myocardium_mass_g", "valves", "aortic_root",
        "ascending_aorta", "left_ventricle_wall", "source",
        "backend", "contrast", "confidence", "timings_s", "peak_memory_mb", "warnings", "models", "version",
    ]  # fmt: skip
    assert measurements["schema"] == 1
    assert measurements["aortic_valve_mm"] == list(found.aortic_valve_mm)
    for structure in STRUCTURES:
        volume_ml = np.count_nonzero(found.labels == structure.label) * 0.008
        assert measurements["structures"][structure.key] == {
            "label": structure.label,
            "volume_ml": pytest.approx(volume_ml, abs=0.001),
            "touches_scan_edge": False,
            "touches_region_edge": False,
        }
    assert measurements["source"] == {
        "kind": "volume",
        "size": [90, 90, 80],
        "spacing_mm": [2.0, 2.0, 2.0],
        "origin_mm": list(found.origin_mm),
        "direction": list(IDENTITY_DIRECTION),
        "series_number": None,
        "phase": None,
        "choice": None,
    }
    assert measurements["backend"]["instructions"] == kernels.instruction_sets()[0]
    assert measurements["backend"]["threads"] == 2
    assert list(measurements["timings_s"]) == TIMINGS
    assert all(seconds > 0 for name, seconds in measurements["timings_s"].items() if name != "write")
    assert measurements["peak_memory_mb"] > 50
    assert measurements["warnings"] == []
    assert set(measurements["models"]) == {
        "dense_vnet",
        "squeezenet_axial",
        "squeezenet_coronal",
        "squeezenet_sagittal",
    }
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in measurements["models"].values())
    assert measurements["version"] == whs_fast.__version__


def test_what_is_saved_is_what_was_found(again, tmp_path):
    again.save(tmp_path / "out", formats=("nifti", "seg.nrrd"))
    names = {"labels.nii.gz", "labels.seg.nrrd", "measurements.json", "preview.png", "report.html"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    for name in ("labels.nii.gz", "labels.seg.nrrd"):
        image = sitk.ReadImage(tmp_path / "out" / name)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), again.labels)
        np.testing.assert_allclose(image.GetSpacing(), again.spacing_mm, atol=1e-5)
        np.testing.assert_allclose(image.GetOrigin(), again.origin_mm, atol=1e-3)
        np.testing.assert_allclose(image.GetDirection(), again.direction, atol=1e-5)
    saved = json.loads((tmp_path / "out" / "measurements.json").read_text("utf-8"))
    assert saved == again.measurements
    timings = saved["timings_s"]
    assert timings["write"] > 0
    assert sum(timings[name] for name in TIMINGS[:-1]) <= timings["total"] + 0.01
    with Image.open(tmp_path / "out" / "preview.png") as picture:
        picture.verify()
    assert "data:image/png;base64," in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_saving_refuses_earlier_results_unless_told(again, tmp_path):
    again.save(tmp_path / "out", formats=("nifti", "seg.nrrd"))
    with pytest.raises(InputError, match="holds earlier results"):
        again.save(tmp_path / "out")
    again.save(tmp_path / "out", overwrite=True)
    assert not (tmp_path / "out" / "labels.seg.nrrd").exists()


@pytest.mark.parametrize("step", ["write_labels", "draw_picture", "render_report"])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_while_saving_leaves_nothing(found, tmp_path, monkeypatch, step, failure):
    def fail(*arguments, **options):
        raise failure

    monkeypatch.setattr(result_module, step, fail)
    with pytest.raises(OutputError if isinstance(failure, OSError) else KeyboardInterrupt):
        found.save(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("failure", "kind", "line"),
    [
        (InputError("the header names no study"), InputError, "the header names no study"),
        (ValueError("Doe^Jane is no code"), RuntimeError, "internal error, ValueError"),
    ],
)
def test_one_format_that_fails_does_not_lose_the_others(again, tmp_path, monkeypatch, failure, kind, line):
    def fail_at_slicer(path, *arguments, **options):
        write_labels(path, *arguments, **options)
        if path.name == "labels.seg.nrrd":
            raise failure

    monkeypatch.setattr(result_module, "write_labels", fail_at_slicer)
    folder = tmp_path / "out"
    with pytest.raises(kind) as error:
        again.save(folder, formats=("seg.nrrd", "nifti"))
    assert str(error.value) == f"{folder}: seg.nrrd could not be written ({line}); everything else was"
    assert {path.name for path in folder.iterdir()} == {
        "labels.nii.gz", "measurements.json", "preview.png", "report.html",
    }  # fmt: skip
    assert json.loads((folder / "measurements.json").read_text())["warnings"] == [f"seg.nrrd was not written: {line}"]


def test_progress_goes_from_nothing_to_done_in_order(engine, phantom, tmp_path):
    told = []
    result = engine.run(phantom, progress=lambda step, done: told.append((step, done)))
    result.save(tmp_path / "out", progress=lambda step, done: told.append((step, done)))
    assert list(dict.fromkeys(step for step, _ in told)) == [*TIMINGS[:-1], "done"]
    shares = [done for _, done in told]
    assert shares == sorted(shares) and shares[0] == 0.0 and shares[-1] == 1.0


@pytest.mark.parametrize("when", ["read", "localise", "segment", "clean", "measure"])
def test_a_run_is_cancelled_in_every_step_and_the_engine_goes_on(engine, phantom, found, when):
    def cancel(step, done):
        told.append((step, done))
        # The second word of the network is one from the middle of its work.
        if step == when and (step != "segment" or [name for name, _ in told].count("segment") > 1):
            raise InterruptedError("the user has left")

    told = []
    with pytest.raises(InterruptedError, match="the user has left"):
        engine.run(phantom, progress=cancel)
    assert told[-1][0] == when
    np.testing.assert_array_equal(engine.run(phantom).labels, found.labels)


def test_an_array_alone_is_refused_with_what_is_wanted(engine, phantom):
    with pytest.raises(InputError, match=r"give whs_fast\.Volume\(array, spacing_mm, origin_mm, direction\)"):
        engine.run(phantom.array)


def test_a_result_says_what_it_is_in_one_line(found):
    assert re.fullmatch(r"<Result: 10 structures in 90 x 90 x 80 voxels, aortic valve at \(.*\) mm>", repr(found))


def test_doubts_of_both_sources_are_told(engine, phantom, monkeypatch):
    """The great vessels of the phantom alone: no chamber, and what the cut runs through is named."""
    top = Volume(phantom.array[56:], phantom.spacing_mm, (*phantom.origin_mm[:2], phantom.origin_mm[2] + 112.0))
    point = whs_fast.steps.localise.ValvePoint(VALVE_MM, False, False, 1, ("the valve is a guess",), (0.0,) * 3)
    monkeypatch.setattr(engine_module, "localise", lambda *arguments, **options: point)
    # A field of view under 120 mm is refused when read, so it is given as read.
    monkeypatch.setattr(engine_module, "read", lambda source, **options: source)
    warnings = engine.run(top).measurements["warnings"]
    assert warnings[0] == "the valve is a guess"
    assert any("the aortic valve was found outside the scan" in text for text in warnings)
    assert any(text.startswith("nothing was found of") and "left ventricular cavity" in text for text in warnings)
    assert any(text.startswith("cut off by the edge of the scan") and "pulmonary artery" in text for text in warnings)


@pytest.mark.parametrize("lost", [True, False])
def test_the_labels_settle_a_doubt_but_not_one_about_all_axes(engine, phantom, monkeypatch, lost):
    point = whs_fast.steps.localise.ValvePoint(VALVE_MM, False, lost, 1, ("the valve is a guess",), (0.0,) * 3)
    monkeypatch.setattr(engine_module, "localise", lambda *arguments, **options: point)
    monkeypatch.setattr(engine_module, "refine_valve", lambda *arguments: VALVE_MM)
    assert ("the valve is a guess" in engine.run(phantom).measurements["warnings"]) is lost


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"localiser": "resnet"}, "localiser: 'resnet' is unknown, choose one of squeezenet, vgg16"),
        ({"threads": 0}, "threads: needs 1 or more, not 0"),
    ],
)
def test_wrong_options_are_refused(models, options, text):
    with pytest.raises(InputError, match=text):
        Engine(**options, models=models)


@pytest.mark.parametrize("name", ["dense_vnet.xml", "squeezenet_coronal.xml"])
def test_a_missing_model_is_named(tmp_path, name):
    make_models(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ModelError, match=f"{name}: no such model file"):
        Engine(models=tmp_path)


def test_the_localiser_is_chosen_by_name(models, phantom, tmp_path):
    make_models(tmp_path, "vgg16")
    result = Engine(threads=2, localiser="vgg16", models=tmp_path).run(phantom)
    assert set(result.measurements["models"]) == {
        "dense_vnet",
        "vgg16_axial",
        "vgg16_coronal",
        "vgg16_sagittal",
    }


@pytest.mark.parametrize(
    ("formats", "text"),
    [
        (("stl", "obj"), "format: 'obj' is unknown, choose from nifti, nifti-each, seg.nrrd"),
        (("nifti", "dicom"), "'dicom' is unknown"),
        ((), "expected one or more of"),
        ("nifti", "expected one or more of"),
    ],
)
def test_formats_that_are_not_there_are_refused(found, tmp_path, formats, text):
    with pytest.raises(InputError, match=text):
        found.save(tmp_path / "out", formats=formats)
    assert list(tmp_path.iterdir()) == []


def test_run_is_one_engine_for_one_scan(models, phantom, found, monkeypatch):
    monkeypatch.setattr(engine_module, "models_folder", lambda: models)
    np.testing.assert_array_equal(whs_fast.run(phantom, threads=2).labels, found.labels)


def calibrated(models, folder, **options):
    """The phantom's models with a calibration whose answer is known."""
    shutil.copytree(models, folder)
    (folder / "confidence.json").write_text(json.dumps(make_calibration(**options)), encoding="utf-8")
    return Engine(threads=2, models=folder)


def test_a_result_tells_contrast_and_confidence(engine, models, found, phantom, tmp_path):
    told = found.measurements
    assert told["contrast"]["left_blood_hu"] > told["contrast"]["structures"]["left_ventricle_myocardium"]["mean_hu"]
    assert told["contrast"]["noise_hu"] == pytest.approx(25 / 12**0.5, rel=0.1)  # of even noise of 25 values
    assert told["confidence"] == {"review": False, "reasons": [], "predicted_dice": None}  # nothing was fitted to these
    network = hash_files(ir_files(models / "dense_vnet.xml"))
    for limit, expected in ((0.01, MANY), (0.99, FEW)):  # of clarity, the first feature
        own = calibrated(models, tmp_path / str(limit), network=network, threshold=limit)
        result = own.run(phantom)
        assert result.measurements["confidence"]["predicted_dice"]["overall_pooled"] == expected
        assert result.measurements["confidence"]["review"] is (expected == FEW)


def test_a_calibration_of_another_network_predicts_nothing(models, phantom, tmp_path):
    other = calibrated(models, tmp_path / "models", network="f" * 64)
    assert other.run(phantom).measurements["confidence"]["predicted_dice"] is None


def test_a_damaged_calibration_is_told(models, phantom, tmp_path):
    own = calibrated(models, tmp_path / "models")
    for text, line in (("{", "cannot be read"), ('{"network": "a"}', "holds no calibration")):
        (tmp_path / "models" / "confidence.json").write_text(text, encoding="utf-8")
        with pytest.raises(ModelError, match=line):
            own.run(phantom)


def test_a_check_segments_twice_and_changes_no_label(engine, phantom, found):
    told = []
    result = engine.run(phantom, check=True, progress=lambda step, done: told.append(done))
    np.testing.assert_array_equal(result.labels, found.labels)
    assert found.agreed is None
    assert 0.9 < result.agreed[0] < 1.0  # the borders of the phantom move by half a voxel of the logits
    assert told == sorted(told)
