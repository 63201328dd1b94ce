"""`whs-fast cohort-table`: what is described how, what is counted, and what is refused."""

import csv
import json
import sys

import numpy as np
import pytest
from scipy import stats
from support.paper_table import PAPER
from whs_fast.cli import main
from whs_fast.study.cohort import baseline as baseline_module
from whs_fast.study.cohort.baseline import CHI_SQUARED, FISHER, Categories, Numbers, compare_groups
from whs_fast.study.cohort.patients import read_patients
from whs_fast.study.cohort.saving import RESULT_NAMES, make_table, to_json

SIZES = {"train": 55, "val": 8, "test": 8}


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def described(path, by="g", **options):
    found = compare_groups(read_patients(path), by, **options)
    return found, {variable.name: variable for variable in found.variables}


@pytest.fixture
def cohort(tmp_path):
    """71 patients with the paper's counts; an age that is normal, a creatinine that is not, with gaps."""
    rng = np.random.default_rng(4)
    split = [name for name, count in SIZES.items() for _ in range(count)]
    age = np.concatenate([stats.norm.ppf((np.arange(n) + 0.5) / n) * 6 + 82 for n in SIZES.values()]).round(1)
    creatinine = rng.lognormal(4.6, 0.9, 71).round(1).astype(str)
    creatinine[[3, 60, 70]] = "NA"
    columns = {"patient": [f"P{i}" for i in range(71)], "age": age, "creatinine": creatinine}
    for name, (having, known, _) in PAPER.items():
        columns[name] = [
            "yes" if i < have else "no" if i < know else ""
            for have, know, size in zip(having, known, SIZES.values(), strict=True)
            for i in range(size)
        ]
    columns["split"] = split
    with (tmp_path / "cohort.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([list(columns), *zip(*columns.values(), strict=True)])
    return tmp_path / "cohort.csv", columns


def test_the_papers_table_comes_out(cohort, tmp_path, capsys):
    path, columns = cohort
    assert main(["cohort-table", str(path), "--by", "split", "-o", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert {file.name for file in (tmp_path / "out").iterdir()} == set(RESULT_NAMES)
    with (tmp_path / "out" / "cohort_table.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["Characteristic", "All (n = 71)", "train (n = 55)", "val (n = 8)", "test (n = 8)", "p", "Test"]
    cells = {row[0]: row[1:] for row in rows}
    for name, (_, _, p) in PAPER.items():
        assert cells[f"{name}: yes"][-2:] == [f"{p:.3f}", FISHER]
    assert cells["hypertension: yes"][1:4] == ["44 (81.5%)", "8 (100.0%)", "6 (75.0%)"]
    assert cells["hypertension: missing"][:4] == ["1", "1", "0", "0"]
    assert cells["creatinine: missing"][:4] == ["3", "1", "1", "1"]
    train = columns["age"][:55]
    assert cells["age, mean ± SD"][1] == f"{train.mean():.1f} ± {train.std(ddof=1):.1f}"
    there = [float(v) for v in columns["creatinine"][:55] if v != "NA"]
    q1, median, q3 = np.quantile(there, (0.25, 0.5, 0.75))
    assert cells["creatinine, median (Q1–Q3)"][1] == f"{median:.1f} ({q1:.1f}–{q3:.1f})"
    assert not any(name.startswith("patient") for name in cells)
    assert "44 (81.5%)" in printed and "patient identifies patients (its name says so, or no" in printed
    markdown = (tmp_path / "out" / "cohort_table.md").read_text("utf-8")
    assert "| hypertension: yes |" in markdown and "Freeman-Halton" in markdown


def test_json_holds_scipys_figures_unrounded(cohort, capsys):
    path, columns = cohort
    assert main(["cohort-table", str(path), "--by", "split", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["groups"] == {"all": 71} | SIZES and found["by"] == "split"
    variables = {variable["name"]: variable for variable in found["variables"]}
    values = np.array([np.nan if v == "NA" else float(v) for v in columns["creatinine"]])
    samples = [part[~np.isnan(part)] for part in np.split(values, [55, 63])]
    assert variables["creatinine"]["p"] == pytest.approx(stats.kruskal(*samples).pvalue, rel=1e-12)
    assert variables["creatinine"]["described_by"] == "median_quartiles"
    own = variables["creatinine"]["groups"]["train"]
    assert (own["n"], own["missing"]) == (54, 1)
    assert own["shapiro_p"] == pytest.approx(stats.shapiro(samples[0]).pvalue, rel=1e-12)
    assert variables["age"]["described_by"] == "mean_sd"
    assert variables["diabetes"]["counts"]["no"] == {"all": 57, "train": 44, "val": 6, "test": 7}


def test_earlier_tables_stay_without_overwrite(cohort, tmp_path, capsys):
    arguments = ["cohort-table", str(cohort[0]), "--by", "split", "-o", str(tmp_path / "out")]
    assert main(arguments) == 0
    assert main(arguments) == 2
    assert "earlier results" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0


def test_semicolons_decimal_commas_and_a_byte_order_mark(tmp_path):
    path = write(tmp_path / "t.csv", "\ufeffweight;g\n71,5;a\n80,25;a\n;b\n64;b\n\n")
    _, variables = described(path)
    assert isinstance(variables["weight"], Numbers) and variables["weight"].decimals == 2
    assert variables["weight"].summaries["a"].mean == pytest.approx(75.875)
    assert variables["weight"].summaries["b"].missing == 1


@pytest.mark.parametrize("word", ["", "NA", "n/a", "NaN", "null", "Missing", ".", "?", "#N/A"])
def test_words_for_nothing_are_missing_values(tmp_path, word):
    _, variables = described(write(tmp_path / "t.csv", f"v,g\n12.5,a\n{word},a\n13.5,b\n"))
    assert variables["v"].summaries["a"].missing == 1


def test_few_small_whole_numbers_are_categories_unless_told(tmp_path):
    path = write(
        tmp_path / "t.csv", "nyha,year,g\n" + "".join(f"{1 + i % 4},{2019 + i % 2},{'ab'[i % 2]}\n" for i in range(9))
    )
    _, variables = described(path)
    assert isinstance(variables["nyha"], Categories) and isinstance(variables["year"], Numbers)
    assert list(variables["nyha"].counts) == ["1", "2", "3", "4"] == list(variables["nyha"].shown)
    _, variables = described(path, continuous=("nyha",), categorical=("year",))
    assert isinstance(variables["nyha"], Numbers) and isinstance(variables["year"], Categories)


def test_yes_alone_has_a_row_and_other_pairs_have_two(tmp_path):
    _, variables = described(write(tmp_path / "t.csv", "af,sex,g\n1,m,a\n0,f,a\n1,M,b\n0,f,b\n"))
    assert variables["af"].shown == ("1",) and variables["sex"].shown == ("f", "m")


def test_codes_beside_missing_values_are_the_same_with_a_point(tmp_path):
    _, variables = described(write(tmp_path / "t.csv", "af,g\n1.0,a\n0.0,a\n1,b\n,b\n"))
    assert variables["af"].counts == {"0": {"all": 1, "a": 1, "b": 0}, "1": {"all": 2, "a": 1, "b": 1}}
    assert variables["af"].shown == ("1",) and variables["af"].missing == {"all": 1, "a": 0, "b": 1}


def test_capitals_make_no_level_of_their_own(tmp_path):
    found, variables = described(write(tmp_path / "t.csv", "sex,g\nmale,a\nMale,a\nfemale,b\nmale,b\n"))
    assert variables["sex"].counts["male"] == {"all": 3, "a": 2, "b": 1}
    assert any("differ only in upper and lower case" in note for note in found.notes)


def test_rows_without_a_group_and_columns_of_names_are_told(tmp_path):
    found, variables = described(write(tmp_path / "t.csv", "name,v,g\nx,1.5,a\ny,2.5,\nz,3.5,b\n"))
    assert found.groups == {"all": 2, "a": 1, "b": 1} and "name" not in variables
    assert any(note.startswith("1 of 3 rows") for note in found.notes)
    assert "name identifies patients (its name says so, or no value occurs twice) and is left out." in found.notes


def test_groups_stand_as_training_validation_test_then_by_size_then_by_name(tmp_path):
    for given, expected in (("test,val,train", "train,val,test"), ("10,9,2", "2,9,10"), ("b,C,a", "a,b,C")):
        rows = "".join(f"1.5,{group}\n" for group in given.split(","))
        found, _ = described(write(tmp_path / "t.csv", f"v,g\n{rows}"))
        assert list(found.groups) == ["all", *expected.split(",")]


def test_what_has_no_p_value_has_a_dash(tmp_path):
    text = "v,w,c,empty,g\n2.5,10,x,,a\n2.5,20,x,,a\n2.5,,x,,b\n"
    found, variables = described(write(tmp_path / "t.csv", text))
    assert [variables[name].p for name in ("v", "w", "c", "empty")] == [None] * 4
    rows = {row[0]: row for row in make_table(found).rows}
    assert rows["c: x"][-2:] == ("–", "–") and rows["w, median (Q1–Q3)"][3] == "–"
    assert rows["empty: missing"][1:4] == ("3", "2", "1")
    assert json.loads(to_json(found))["variables"][0]["test"] is None


def test_one_group_is_described_without_tests(tmp_path):
    found, variables = described(write(tmp_path / "t.csv", "v,c,g\n2.5,x,a\n3.5,y,a\n2.5,x,a\n"))
    assert variables["v"].p is None and variables["c"].p is None and found.groups == {"all": 3, "a": 3}


def test_a_table_too_large_for_the_exact_test_takes_the_chi_squared_one_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(baseline_module, "fisher_exact", lambda table: fisher_exact(table, most_steps=50))
    from whs_fast.study.cohort.fisher import fisher_exact

    counts = [[9, 4, 5], [3, 8, 6], [2, 2, 7]]
    text = "".join(f"{'xyz'[i]},{'abc'[j]}\n" * counts[i][j] for i in range(3) for j in range(3))
    found, variables = described(write(tmp_path / "t.csv", f"v,g\n{text}"))
    assert variables["v"].test == CHI_SQUARED
    assert variables["v"].p == pytest.approx(stats.chi2_contingency(counts).pvalue, rel=1e-12)
    assert any(note.startswith("chi-squared") for note in make_table(found).notes)


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("v,g\n1,a\n", ["--by", "h"], "has no column 'h' to group by; its columns are: v, g"),
        ("v,g\n1,a\n", ["--by", "g", "--continuous", "w"], "has no column 'w'"),
        ("v,g\nx,a\ny,a\nx,a\n", ["--by", "g", "--continuous", "v"], "found text in 'v'"),
        ("v,g\n70.5,a\n6O,a\n71,b\n", ["--by", "g"], "line 3 has '6O' among the numbers of column 'v', expected"),
        ("v,g\n1,\n", ["--by", "g"], "found 0 groups"),
        ("v,g\n1,all\n", ["--by", "g"], "'g' has a group called 'all'"),
        ("v,g\n" + "".join(f"1,{i}\n" for i in range(13)), ["--by", "g"], "found 13 groups"),
        ("v,g\n1\n", ["--by", "g"], "line 2 has 1 cells, but the header has 2"),
        ("v,v\n1,2\n", ["--by", "v"], "has no name, or the name of another"),
        ("v,g\n", ["--by", "g"], "expected a header and at least one row"),
        ('v,g\n"1,a\n', ["--by", "g"], "the table is damaged in line 2"),
    ],
)
def test_wrong_tables_are_refused(tmp_path, capsys, text, arguments, message):
    assert main(["cohort-table", str(write(tmp_path / "t.csv", text)), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_files_that_are_no_text_or_not_there_are_refused(tmp_path, capsys):
    (tmp_path / "t.csv").write_bytes("v,g\nä,b\n".encode("cp1252"))
    assert main(["cohort-table", str(tmp_path / "t.csv"), "--by", "g"]) == 2
    assert "the text is not UTF-8; save it as UTF-8" in capsys.readouterr().err
    assert main(["cohort-table", str(tmp_path / "gone.csv"), "--by", "g"]) == 2
    assert "no such file" in capsys.readouterr().err


def test_a_missing_extra_is_said_in_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("whs_fast.machine.find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "whs_fast.cli.cohort_table", raising=False)
    assert main(["cohort-table", str(write(tmp_path / "t.csv", "v,g\n1,a\n")), "--by", "g"]) == 2
    assert "pip install 'whs-fast[cohort]'" in capsys.readouterr().err


def test_a_second_table_is_joined_by_id_whatever_its_order(tmp_path, capsys):
    patients = write(tmp_path / "patients.csv", "id,sex,age\nA,f,61.5\nB,m,70.1\nC,f,55.0\nD,m,\n")
    table = write(tmp_path / "table.csv", "id,scan,aorta_ml\nD,D,130.5\nA,A,110.2\nB,B,120.4\nX,X,999.0\n")
    options = ["--join", str(table), "--by", "sex", "--columns", "age,aorta_ml", "--json"]
    assert main(["cohort-table", str(patients), *options]) == 0
    said = capsys.readouterr()
    assert said.err.splitlines()[-1] == f"warning: 1 of 4 rows have no row of their id in {table}"
    found = {variable["name"]: variable["groups"] for variable in json.loads(said.out)["variables"]}
    assert list(found) == ["age", "aorta_ml"]
    assert found["aorta_ml"]["f"]["median"] == 110.2 and found["aorta_ml"]["m"]["median"] == pytest.approx(125.45)
    assert found["aorta_ml"]["f"]["missing"] == 1


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("scan,aorta_ml\nA,1.5\n", "has no column 'id' to join by"),
        ("id,aorta_ml\nA,1.5\nA,2.5\n", "found the id A more than once"),
        ("id,sex\nA,f\n", "has the column 'sex'"),
    ],
)
def test_a_table_that_cannot_be_joined_is_refused(tmp_path, capsys, other, message):
    patients = write(tmp_path / "patients.csv", "id,sex,age\nA,f,61.5\nB,m,70.1\n")
    table = write(tmp_path / "table.csv", other)
    assert main(["cohort-table", str(patients), "--join", str(table), "--by", "sex"]) == 2
    assert message in capsys.readouterr().err
