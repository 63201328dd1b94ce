"""`whs-fast evaluate`: its files, what they hold, and its refusals."""

import csv
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.hearts import make_grid, make_heart, write_map
from whs_fast.cli import main
from whs_fast.structures import STRUCTURES
from whs_fast.study.evaluation import paper
from whs_fast.study.evaluation.cases import CaseScores, StructureScores
from whs_fast.study.evaluation.collecting import collect
from whs_fast.study.evaluation.evaluating import Evaluation
from whs_fast.study.evaluation.figures import _widened
from whs_fast.study.evaluation.landmarks import compare_landmark
from whs_fast.study.evaluation.overlap import OVERALL
from whs_fast.study.evaluation.saving import RESULT_NAMES, save
from whs_fast.study.evaluation.tables import make_tables
from whs_fast.study.tables import to_html, to_markdown

GRID = make_grid((3.0, 3.0, 3.0), (46, 48, 44))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Five cases as run leaves them and references beside scans; the third has no coronary sinus drawn."""
    root = tmp_path_factory.mktemp("cohort")
    valves = {}
    for number in range(5):
        name = f"case_{number}"
        reference = make_heart(GRID, grow_mm=0.5 * number)
        prediction = make_heart(GRID, grow_mm=0.5 * number + (-1) ** number * 0.4)
        if number == 2:
            reference[reference == 6] = 0
        write_map(root / "p" / name / "labels.nii.gz", prediction, GRID)
        write_map(root / "r" / f"{name}_labels.nii.gz", reference, GRID)
        (root / "r" / f"{name}.nii.gz").write_bytes(b"the scan")
        point = {"aortic_valve_mm": [1.0 + number, -2.0, 3.0]}
        (root / "p" / name / "measurements.json").write_text(json.dumps(point))
        valves[name] = [1.0, -2.0, 3.0 - number]
    write_map(root / "p" / "spare" / "labels.nii.gz", make_heart(GRID), GRID)
    (root / "valves.json").write_text(json.dumps(valves))
    return root


@pytest.fixture(scope="module")
def evaluated(folders):
    """The folder of results, what was said on standard output, and on standard error."""
    arguments = ["--pred", str(folders / "p"), "--ref", str(folders / "r"), "-o", str(folders / "out")]
    with redirect_stdout(StringIO()) as said, redirect_stderr(StringIO()) as warned:
        assert main(["evaluate", *arguments, "--landmarks", str(folders / "valves.json"), "--threads", "2"]) == 0
    return folders / "out", said.getvalue(), warned.getvalue()


@pytest.fixture(scope="module")
def out(evaluated):
    return evaluated[0]


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_everything_is_written(out):
    assert {path.name for path in out.iterdir()} == set(RESULT_NAMES)


def test_cases_and_structures_agree_in_all_files(out):
    cases = rows(out / "cases.csv")
    assert [(row["case"], row["structure"]) for row in cases] == [
        (f"case_{number}", s.key) for number in range(5) for s in STRUCTURES
    ]
    found = json.loads((out / "evaluation.json").read_text("utf-8"))
    for row in rows(out / "structures.csv"):
        own = [case for case in cases if case["structure"] == row["structure"]]
        dice = np.array([float(case["dice"]) for case in own])
        assert float(row["dice_median"]) == pytest.approx(np.median(dice), rel=1e-5)
        assert float(row["dice_q1"]) == pytest.approx(np.quantile(dice, 0.25), rel=1e-5)
        sizes = np.array([[float(case["reference_ml"]), float(case["prediction_ml"])] for case in own])
        factor = 1.05 if row["unit"] == "g" else 1.0
        assert (row["unit"] == "g") == (row["structure"] == "left_ventricle_myocardium")
        difference = np.diff(sizes, axis=1) * factor
        assert float(row["agreement_mean"]) == pytest.approx(difference.mean(), rel=1e-4, abs=1e-6)
        limits = difference.mean() + np.array([-1.96, 1.96]) * difference.std(ddof=1)
        assert [float(row["agreement_lower"]), float(row["agreement_upper"])] == pytest.approx(limits, rel=1e-3)
        assert found["structures"][row["structure"]]["dice"]["median"] == pytest.approx(np.median(dice), rel=1e-5)
        text = f"{np.median(dice):.3f} ({np.quantile(dice, 0.25):.3f}–{np.quantile(dice, 0.75):.3f})"
        assert text in (out / "tables.md").read_text("utf-8") and text in (out / "evaluation.html").read_text("utf-8")
    overall = rows(out / "overall.csv")
    for name in OVERALL:
        median = np.median([float(row[name]) for row in overall])
        assert found["overall"][name]["median"] == pytest.approx(median, rel=1e-5)


def test_a_structure_missing_in_one_case_is_counted(out):
    sinus = next(row for row in rows(out / "structures.csv") if row["structure"] == "coronary_sinus")
    assert (sinus["dice_n"], sinus["dice_low"], sinus["hd95_mm_n"], sinus["reference_low"]) == ("5", "0", "4", "0")
    assert "Coronary sinus (CS): missing in the prediction of 0 and in the reference of 1" in (
        out / "tables.md"
    ).read_text("utf-8")


def test_landmarks_are_compared(out):
    found = json.loads((out / "evaluation.json").read_text("utf-8"))["landmark"]
    # Case n is n mm to the left and n mm to the head of where it should be.
    assert [row["x_mm"] for row in rows(out / "landmarks.csv")] == ["0", "1", "2", "3", "4"]
    assert [row["z_mm"] for row in rows(out / "landmarks.csv")] == ["0", "1", "2", "3", "4"]
    assert found["distance"]["median"] == pytest.approx(2 * 2**0.5) and found["within_10_mm"] == 5
    assert found["axes"][1]["high"] == 0.0


def test_the_papers_figures_are_marked_as_another_data_set(out):
    for name in ("tables.md", "evaluation.html", "evaluation.json"):
        text = (out / name).read_text("utf-8")
        assert "another data set (8 patients)" in text and "0.657" in text


def test_the_page_needs_nothing_from_outside(out):
    page = (out / "evaluation.html").read_text("utf-8")
    assert page.count("data:image/png;base64,") == 3
    for outside in ("<script", 'src="http', "href=", "@import"):
        assert outside not in page


@pytest.mark.parametrize("name", ["dice.png", "regression.png", "bland_altman.png"])
def test_figures_are_one_column_wide_and_not_blank(out, name):
    with Image.open(out / name) as picture:
        assert picture.width == pytest.approx(85 / 25.4 * 600, abs=2) and picture.info["dpi"][0] == pytest.approx(
            600, 1
        )
        assert len(set(np.asarray(picture.convert("L"))[::7, ::7].ravel())) > 20


def test_unmatched_cases_and_medians_are_said(evaluated):
    _, said, warned = evaluated
    assert warned == "warning: left out, no reference: spare\n"
    assert "overall_pooled" in said and "Median Dice of 5 cases" in said


def test_pairs_one_case_and_a_scheme(folders, tmp_path, capsys):
    (tmp_path / "pairs.csv").write_text(
        f"case,prediction,reference\none,{folders}/p/case_1/labels.nii.gz,{folders}/r/case_1_labels.nii.gz\n"
    )
    arguments = ["evaluate", "--pairs", str(tmp_path / "pairs.csv"), "-o", str(tmp_path / "o"), "--scheme", "baskaran"]
    assert main(arguments) == 0
    found = rows(tmp_path / "o" / "structures.csv")
    assert [row["structure"] for row in found] == [s.key for s in STRUCTURES if s.abbreviation in
                                                   ("LA", "LVC", "LVM", "RA", "RVC")]  # fmt: skip
    assert found[0]["dice_n"] == "1" and found[0]["pearson_r"] == found[0]["agreement_lower"] == ""
    capsys.readouterr()
    assert main(arguments) == 2
    assert "holds earlier results (evaluation.json); replace them with --overwrite" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0


def test_swapped_labels_are_warned_of_in_all_cases_at_once(folders, tmp_path, capsys):
    for number in range(2):
        swapped = np.arange(11, dtype=np.uint8)
        swapped[[2, 8]] = [8, 2]
        write_map(tmp_path / "p" / f"case_{number}.nii.gz", swapped[make_heart(GRID, grow_mm=0.5 * number)], GRID)
    assert (
        main(["evaluate", "--pred", str(tmp_path / "p"), "--ref", str(folders / "r"), "-o", str(tmp_path / "o")]) == 0
    )
    said = capsys.readouterr().err
    assert (
        "all cases: labels look exchanged; these would match much better, prediction to reference: left atrium (2) to"
        in said
    )
    assert "left out, no prediction: case_2, case_3, case_4" in said
    assert "labels look exchanged" in (tmp_path / "o" / "evaluation.html").read_text("utf-8")


def test_a_structure_that_no_reference_has_is_warned_of(tmp_path, capsys):
    heart = make_heart(GRID)
    write_map(tmp_path / "p" / "a.nii", heart, GRID)
    write_map(tmp_path / "r" / "a.nii", np.where(heart == 6, 0, heart).astype(np.uint8), GRID)
    assert (
        main(["evaluate", "--pred", str(tmp_path / "p"), "--ref", str(tmp_path / "r"), "-o", str(tmp_path / "o")]) == 0
    )
    assert "warning: coronary sinus: in no reference at all" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pred", "p"], "give either --pred and --ref, or --pairs alone"),
        (["--pred", "p", "--ref", "r", "--pairs", "x.csv"], "give either --pred and --ref, or --pairs alone"),
        (["--pred", "none", "--ref", "r"], "none: no such folder"),
        (["--pairs", "none.csv"], "none.csv: cannot be read (no such file or directory)"),
        (["--pred", "p", "--ref", "r", "--ref-labels", "mm-whs"], "found the label values 1, 2, 3"),
        (["--pred", "p", "--ref", "r", "--scheme", "whs-fast", "--ref-labels", "mm-whs"], "whs-fast: pulmonary_veins"),
        (["--pred", "p", "--ref", "r", "--pred-landmarks", "valves.json"], "predicted landmarks need true ones"),
        (["--pred", "p", "--ref", "r", "--landmarks", "other.json"], "no case has a point both here and in"),
    ],
)
def test_refusals_leave_nothing(folders, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(folders)
    (folders / "other.json").write_text('{"someone": [1, 2, 3]}')
    assert main(["evaluate", *arguments, "-o", str(tmp_path / "o")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and message in said
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_without_the_extra_one_line_says_what_to_install(folders, monkeypatch, capsys):
    monkeypatch.setattr("whs_fast.machine.find_spec", lambda name: None if name == "matplotlib" else True)
    assert main(["evaluate", "--pred", str(folders), "--ref", str(folders), "-o", str(folders / "x")]) == 2
    assert "evaluate needs matplotlib: pip install 'whs-fast[cohort]'" in capsys.readouterr().err


values = st.one_of(st.none(), st.floats(0, 1))
sizes_ml = st.one_of(st.just(0.0), st.just(7.0), st.floats(0.001, 600))


@pytest.mark.slow
@given(st.lists(st.tuples(values, sizes_ml, sizes_ml), min_size=1, max_size=6))
@example([(None, 0.0, 0.0)])
@example([(0.5, 7.0, 7.0)] * 3)
@example([(0.0, 7.0, 0.0), (0.0, 0.0, 7.0), (0.9, 7.0, 8.0)])
@settings(max_examples=5)
def test_any_cohort_can_be_written(tmp_path_factory, cohort):
    """Few cases, absent structures, equal and zero sizes: no figure, table or file may fail on them."""
    structures = STRUCTURES[:3]
    cases = [
        CaseScores(
            f"c{number} & <x>|",
            {
                s.key: StructureScores(dice, one if dice is not None else 0.0, other if dice is not None else 0.0,
                                       dice and dice * 9, dice and dice * 2, (dice, dice))
                for s in structures
            },
            dict.fromkeys(OVERALL, dice),
            ("a & b",),
        )
        for number, (dice, one, other) in enumerate(cohort)
    ]  # fmt: skip
    errors = {"c0": compare_landmark((1.0, 2.0, 3.0), (0.0, 0.0, 0.0))} if len(cases) % 2 else {}
    found = collect(cases, structures, errors)
    folder = tmp_path_factory.mktemp("any") / "o"
    save(Evaluation(found, "three", "whs-fast", "whs-fast", ("a & b",)), folder)
    json.loads((folder / "evaluation.json").read_text("utf-8"))
    assert (folder / "landmarks.csv").exists() == bool(errors)
    assert "<x>" not in (folder / "evaluation.html").read_text("utf-8").split("<h2>Cases")[1]


def test_tables_say_the_same_in_markdown_and_html(out):
    cohort = collect(
        [CaseScores("a", {s.key: StructureScores(0.9, 10, 11, 1, 0.5, (0.8, 0.9)) for s in STRUCTURES},
                    dict.fromkeys(OVERALL, 0.9), ())],
        STRUCTURES,
        {},
    )  # fmt: skip
    for table in make_tables(cohort):
        markdown, page = to_markdown(table), to_html(table)
        assert markdown.count("\n| ") == len(table.rows) + 1
        assert page.count("<tr>") == len(table.rows) + 1
        assert all(len(row) == len(table.columns) for row in table.rows)
    assert list(paper.DICE) == list(paper.VOLUMES) == list(paper.AGREEMENT) == [s.key for s in STRUCTURES]


def test_the_papers_agreement_is_turned_round_to_ours():
    """The paper has manual minus automatic: Ao -0.41 mL (-20.6 to 19.7), SVC 2.51 (-9.9 to 14.9)."""
    assert paper.AGREEMENT["aorta"] == paper.Agreement(0.41, -19.7, 20.6, 0.97)
    assert paper.AGREEMENT["superior_vena_cava"] == paper.Agreement(-2.51, -14.9, 9.9, 0.49, 0.27)
    assert all(own.lower < own.mean < own.upper for own in paper.AGREEMENT.values())


def test_equal_sizes_give_axes_of_a_size_that_can_be_read():
    assert _widened((-1e-17, 2e-17), 0.5) == pytest.approx((-0.25, 0.25))
    assert _widened((-3.0, 5.0), 0.5) == (-3.0, 5.0)
