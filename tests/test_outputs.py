"""What can be asked for: known names, and one line where an extra is missing."""

import pytest
from whs_fast import InputError
from whs_fast.outputs import FORMATS, RESULT_NAMES, check_formats, check_localiser, check_report


@pytest.mark.parametrize(
    ("check", "line"),
    [
        (
            lambda: check_formats(["nifti", "dicom-seg"]),
            "format dicom-seg needs highdicom: pip install 'whs-fast[dicom]'",
        ),
        (lambda: check_formats(["glb"]), "format glb needs scikit-image: pip install 'whs-fast[mesh]'"),
        (
            lambda: check_report("interactive"),
            "report interactive needs plotly and scikit-image: pip install 'whs-fast[report]'",
        ),
    ],
)
def test_a_missing_extra_is_said_in_one_line(monkeypatch, check, line):
    missing = {"highdicom", "skimage", "plotly"}
    monkeypatch.setattr("whs_fast.machine.find_spec", lambda name: None if name in missing else object())
    with pytest.raises(InputError) as error:
        check()
    assert str(error.value) == line.format("pip install ")


def test_what_needs_no_extra_is_never_refused(monkeypatch):
    monkeypatch.setattr("whs_fast.machine.find_spec", lambda name: None)
    check_formats(["nifti", "seg.nrrd"])
    check_report("plain")


@pytest.mark.parametrize(
    ("check", "line"),
    [
        (
            lambda: check_formats(["stl", "obj"]),
            "format: 'obj' is unknown, choose from nifti, nifti-each, seg.nrrd, dicom-seg, rtstruct, stl, glb, markups",
        ),
        (lambda: check_report("fancy"), "report: 'fancy' is unknown, choose from plain, interactive"),
        (lambda: check_localiser("resnet"), "localiser: 'resnet' is unknown, choose one of squeezenet, vgg16"),
    ],
)
def test_unknown_names_are_refused_with_those_that_are_known(check, line):
    with pytest.raises(InputError) as error:
        check()
    assert str(error.value) == line


def test_the_measurements_are_the_last_to_appear():
    assert RESULT_NAMES[-1] == "measurements.json"
    assert all(name in RESULT_NAMES for output in FORMATS.values() for name in output.files)
