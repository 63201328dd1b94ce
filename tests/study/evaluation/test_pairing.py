"""Which maps belong together, and the landmarks that belong to them."""

import json

import pytest
from whs_fast.errors import InputError
from whs_fast.study.evaluation.landmarks import compare_landmark, find_measured, read_landmarks
from whs_fast.study.evaluation.pairing import Case, find_label_maps, pair_folders, read_pairs


def fill(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["a.nii.gz", "b.nrrd", "c.mha", "d.txt", ".e.nii"], {"a": "a.nii.gz", "b": "b.nrrd", "c": "c.mha"}),
        (["a.nii.gz", "a_label.nii.gz", "b.nii.gz"], {"a": "a_label.nii.gz"}),
        (["ct_1_image.nii.gz", "ct_1_label.nii.gz"], {"ct_1": "ct_1_label.nii.gz"}),
        (["a.seg.nrrd", "a.nrrd"], {"a": "a.seg.nrrd"}),
        (["a-Labels.nii", "b_gt.mhd", "c.segmentation.nii"], {"a": "a-Labels.nii", "b": "b_gt.mhd",
                                                             "c": "c.segmentation.nii"}),
        (["a/labels.nii.gz", "b/labels.seg.nrrd", "b/labels.dcm", "c/other.nii"],
         {"a": "a/labels.nii.gz", "b": "b/labels.seg.nrrd"}),
        (["_label.nii", "seg.nii"], {"_label": "_label.nii", "seg": "seg.nii"}),
    ],
)  # fmt: skip
def test_label_maps_by_name(tmp_path, files, names):
    fill(tmp_path, *files)
    assert find_label_maps(tmp_path) == {name: tmp_path / file for name, file in names.items()}


def test_pairs_of_two_folders_and_what_has_no_partner(tmp_path):
    own = fill(tmp_path / "p", "b/labels.nii.gz", "a/labels.nii.gz", "x/labels.nii.gz")
    other = fill(tmp_path / "r", "a_label.nii", "b_label.nii", "y_label.nii", "a.nii")
    found = pair_folders(own, other)
    assert found.cases == (
        Case("a", own / "a/labels.nii.gz", other / "a_label.nii"),
        Case("b", own / "b/labels.nii.gz", other / "b_label.nii"),
    )
    assert (found.without_prediction, found.without_reference) == (("y",), ("x",))


@pytest.mark.parametrize(
    ("own", "other", "message"),
    [
        (["a.nii"], ["b.nii"], "found a, none of which is in .*r .b.; give both maps of a case the same name"),
        ([], ["b.nii"], "p: has no label maps"),
        (["a.nii", "a.nrrd"], ["a.nii"], "both a.nii and a.nrrd belong to the case a,"),
    ],
)
def test_folders_that_do_not_pair(tmp_path, own, other, message):
    (tmp_path / "p").mkdir()
    with pytest.raises(InputError, match=message):
        pair_folders(fill(tmp_path / "p", *own), fill(tmp_path / "r", *other))
    with pytest.raises(InputError, match="none: no such folder, expected one with label maps"):
        pair_folders(tmp_path / "none", tmp_path)


def test_pairs_from_a_table(tmp_path):
    fill(tmp_path, "p/1.nii", "r/2.nii")
    table = tmp_path / "pairs.csv"
    table.write_text(f"\ufeffreference,case,prediction,more\nr/2.nii, two ,{tmp_path / 'p/1.nii'},\n", "utf-8")
    assert read_pairs(table).cases == (Case("two", tmp_path / "p/1.nii", tmp_path / "r/2.nii"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case,prediction\na,b\n", "has no column reference, expected case, prediction, reference"),
        ("case,prediction,reference\na,1.nii,\n", "line 2 has no reference, expected a value"),
        ("case,prediction,reference\na,1.nii,2.nii\n", "line 2 names .*2.nii, which is not a file"),
        ("case,prediction,reference\na,1.nii,1.nii\na,1.nii,1.nii\n", "line 3 repeats the case a,"),
        ("case,prediction,reference\n", "has no pairs"),
        ("\xe9", "not a csv in utf-8"),
    ],
)
def test_tables_that_are_refused(tmp_path, text, message):
    fill(tmp_path, "1.nii")
    (tmp_path / "pairs.csv").write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=message):
        read_pairs(tmp_path / "pairs.csv")


def test_landmarks_in_both_forms(tmp_path):
    (tmp_path / "v.json").write_text('{"a": [1, 2.5, -3], "b": [0, 0, 0]}')
    (tmp_path / "v.csv").write_text("case,x_mm,y_mm,z_mm\na,1,2.5,-3\nb,0,0,0\n")
    assert read_landmarks(tmp_path / "v.json") == read_landmarks(tmp_path / "v.csv") == {
        "a": (1.0, 2.5, -3.0), "b": (0.0, 0.0, 0.0)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("v.json", "[]", "is not a JSON object"),
        ("v.json", "{", "not json"),
        ("v.json", '{"a": [1, 2]}', "a: found '.1, 2.', expected three numbers"),
        ("v.json", '{"a": [1, 2, NaN]}', "not finite"),
        ("v.csv", "case,x_mm,y_mm,z_mm\na,1,2,x\n", "line 2: found"),
        ("v.csv", "case,x_mm,y_mm,z_mm\na,1,2,3\na,1,2,3\n", "line 3 repeats the case a,"),
        ("v.csv", "case,x,y,z\n", "has no column x_mm"),
    ],
)
def test_landmarks_that_are_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read_landmarks(tmp_path / name)
    with pytest.raises(InputError, match="cannot be read"):
        read_landmarks(tmp_path / f"none-{name}")


def test_measurements_beside_a_prediction_are_its_landmark(tmp_path):
    fill(tmp_path, "p/a/labels.nii.gz", "p/b/labels.nii.gz", "flat/c.nii")
    (tmp_path / "p/a/measurements.json").write_text(json.dumps({"aortic_valve_mm": [1, 2, 3]}))
    (tmp_path / "flat/measurements.json").write_text(json.dumps({"aortic_valve_mm": [9, 9, 9]}))
    files = {"a": "p/a/labels.nii.gz", "b": "p/b/labels.nii.gz", "c": "flat/c.nii"}
    cases = tuple(Case(name, tmp_path / file, tmp_path) for name, file in files.items())
    assert find_measured(cases) == {"a": (1.0, 2.0, 3.0)}
    (tmp_path / "p/b/measurements.json").write_text("{}")
    with pytest.raises(InputError, match="aortic_valve_mm: found 'None'"):
        find_measured(cases)


def test_error_of_a_landmark():
    found = compare_landmark((4.0, 2.0, 12.0), (1.0, 2.0, 16.0))
    assert found.offset_mm == (3.0, 0.0, -4.0) and found.distance_mm == 5.0
