"""Which scans are found, and that what they are called is the same at every call and never the same for two."""

import re
import shutil

import pytest
from support.dicom_cases import SCAN, tagged, write
from whs_fast.batching.inputs import PHASE_MARK, gather
from whs_fast.errors import InputError
from whs_fast.reading.finding import find_scans


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not read here")


def ids(inputs, output):
    return [scan.id for scan in gather(inputs, output).scans]


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "scans"
    touch(root / "b.nii.gz", root / "sub" / "a.nrrd", root / "sub" / "study.zip", root / "c.mha")
    touch(root / "b_label.nii.gz", root / "sub" / "labels.nii.gz", root / ".hidden.nii.gz", root / "notes.pdf")
    return root


def test_files_of_a_folder_are_called_by_their_place_in_it(tree, tmp_path):
    gathered = gather([tree], tmp_path / "out")
    assert [scan.id for scan in gathered.scans] == ["b", "c", "sub/a", "sub/study"]
    assert [scan.name for scan in gathered.scans] == ["b", "c", "sub_a", "sub_study"]
    assert gathered.label_maps == 2


def test_results_below_the_inputs_are_no_inputs(tree):
    touch(tree / "out" / "scans" / "b" / "scan.nii.gz")
    assert ids([tree], tree / "out") == ["b", "c", "sub/a", "sub/study"]


def test_files_given_by_name_are_called_by_it(tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tree)
    assert ids(["b.nii.gz", "./sub/a.nrrd", tree / "c.mha"], tmp_path) == ["a", "b", "c"]


def test_dicom_images_are_one_scan_a_study(tmp_path):
    root = tmp_path / "archive"
    for patient in ("one", "two"):
        for series in ("1", "2"):
            tags = tagged(StudyInstanceUID=f"1.9.{len(patient) + ord(patient[0])}")
            write(SCAN, root / patient / f"series_{series}", series=f"1.{ord(patient[0])}.{series}", edit=tags)
    (root / "one" / "notes.txt").write_text("nothing")
    assert find_scans(root).scans == [root / "one", root / "two"]
    assert ids([root], tmp_path / "out") == ["one", "two"]
    assert ids([root / "one"], tmp_path / "out") == ["one"]
    shutil.rmtree(root / "two")
    assert ids([root], tmp_path / "out") == ["one"]


def test_a_study_beside_folders_of_others_loses_none(tmp_path):
    root = tmp_path / "archive"
    write(SCAN, root, series="1.1", edit=tagged(StudyInstanceUID="1.9.1"))
    write(SCAN, root / "below", series="1.2", edit=tagged(StudyInstanceUID="1.9.2"))
    assert find_scans(root).scans == [root, root / "below"]


def test_a_study_that_lies_in_several_places_among_others_is_found_in_each(tmp_path):
    root = tmp_path / "archive"
    for place, study in (("x/1", "1.9.1"), ("x/2", "1.9.2"), ("y/3", "1.9.1")):
        write(SCAN, root / place, series=f"1.{place[-1]}", edit=tagged(StudyInstanceUID=study))
    assert find_scans(root).scans == [root / "x/1", root / "x/2", root / "y/3"]


def test_links_that_lead_in_circles_end(tmp_path):
    touch(tmp_path / "a" / "scan.nii.gz")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a", target_is_directory=True)
    assert find_scans(tmp_path).scans == [tmp_path / "a" / "scan.nii.gz"]


def test_a_list_names_files_beside_it_and_folders(tree, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text("# two of them\nscans/b.nii.gz\n\nscans/sub\n", encoding="utf-8")
    assert ids([listed], tmp_path / "out") == ["a", "b", "study"]


def test_a_csv_gives_ids_of_the_users_own_and_what_to_take(tree, tmp_path):
    table = tmp_path / "cohort.csv"
    table.write_text("sex;id;path;series\nf;P-1;scans/b.nii.gz;\nm;P-2;scans/sub;1.2.3\n", encoding="utf-8")
    scans = gather([table], tmp_path / "out").scans
    assert [(scan.id, scan.path, scan.series) for scan in scans] == [
        ("P-1", tree / "b.nii.gz", None),
        ("P-2", tree / "sub", "1.2.3"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,path\nA,scans/b.nii.gz\nA,scans/c.mha\n", "line 3 repeats the id A of line 2"),
        ("id,path\nA,scans/nowhere.nii.gz\n", "line 2: found no file or folder"),
        ("id,path\n,scans/b.nii.gz\n", "line 2 has no id"),
        ("id,path\nA,\n", "line 2 has no path"),
        ("name,path\nA,scans/b.nii.gz\n", "has no column 'id' to find the scans by"),
        ("id,path\nA,scans/b.nii.gz,more\n", "line 2 has 3 cells"),
        ("id,path\n", "found a header alone"),
    ],
)
def test_a_wrong_csv_is_refused_with_the_line(tree, tmp_path, content, message):
    (tmp_path / "cohort.csv").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(message)):
        gather([tmp_path / "cohort.csv"], tmp_path / "out")


def test_a_wrong_list_is_refused_with_the_line(tree, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text("scans/b.nii.gz\nnowhere.nii.gz\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"list.txt: line 2: nowhere.nii.gz: found no such file"):
        gather([listed], tmp_path / "out")
    listed.write_bytes(b"caf\xe9.nii.gz\n")
    with pytest.raises(InputError, match="not text in utf-8"):
        gather([listed], tmp_path / "out")


def test_nothing_to_do_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="found no scan"):
        gather([tmp_path / "empty"], tmp_path / "out")
    with pytest.raises(InputError, match="found no such file or folder"):
        gather([tmp_path / "nowhere"], tmp_path / "out")


def test_no_two_scans_share_an_id_or_a_file_name(tmp_path):
    paths = [
        *(tmp_path / site / "scan.nii.gz" for site in ("a", "b")),
        *(
            tmp_path / "tree" / name
            for name in ("x.nii.gz", "x.nrrd", "X.mha", "y/z.nii", "y_z.nii", "Ä.nii", "A\u0308.nii")
        ),
        *(
            tmp_path / "tree" / name
            for name in ("con.nii", "long" * 40 + ".nii", "long" * 40 + "2.nii", "a@phase_35.nii")
        ),
    ]
    touch(*paths)
    scans = gather([paths[0], paths[1], tmp_path / "tree"], tmp_path / "out").scans
    assert len(scans) == len(paths)
    assert len({scan.id for scan in scans}) == len({scan.name.casefold() for scan in scans}) == len(paths)
    for scan in scans:
        assert PHASE_MARK not in scan.name and "/" not in scan.name and not scan.name.startswith(".")
        assert len(scan.name.encode()) < 200 and scan.name.lower() != "con"


def test_a_name_does_not_depend_on_the_order_nor_on_scans_called_otherwise(tmp_path):
    touch(tmp_path / "s" / "a.nii", tmp_path / "s" / "a.nrrd", tmp_path / "s" / "b.nii")
    before = {scan.path: (scan.id, scan.name) for scan in gather([tmp_path / "s"], tmp_path / "out").scans}
    touch(tmp_path / "s" / "c.nii", tmp_path / "t" / "b" / "d.nii")
    after = gather([tmp_path / "t", tmp_path / "s", tmp_path / "s" / "b.nii"], tmp_path / "out").scans
    assert before.items() <= {scan.path: (scan.id, scan.name) for scan in after}.items()
    assert len(after) == 5


def test_control_characters_of_an_id_reach_no_name(tmp_path):
    touch(tmp_path / "s" / "bell\a\n.nii")
    (scan,) = gather([tmp_path / "s"], tmp_path / "out").scans
    assert scan.id.isprintable() and scan.name.isprintable()
