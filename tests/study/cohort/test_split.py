"""`whs-fast split`: exact numbers, the same on every machine, and nobody torn apart."""

import csv
import io
from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whs_fast.cli import main
from whs_fast.errors import InputError
from whs_fast.study.cohort.splitting import NAMES, split_patients

SIZES = dict(zip(NAMES, (55, 8, 8), strict=True))
PATIENTS = [f"P{i:03d}" for i in range(71)]
EXPECTED_TEST = ["P007", "P013", "P025", "P029", "P048", "P051", "P062", "P065"]


def test_numbers_are_exact_and_the_split_is_the_one_written_down_here():
    """The names below were not chosen: they fail where another platform or version splits otherwise."""
    parts = split_patients(PATIENTS, SIZES, seed=1)
    assert Counter(parts) == SIZES
    assert [p for p, part in zip(PATIENTS, parts, strict=True) if part == "test"] == EXPECTED_TEST


def test_the_order_of_rows_does_not_matter_and_the_seed_does():
    first = dict(zip(PATIENTS, split_patients(PATIENTS, SIZES, seed=1), strict=True))
    mixed = PATIENTS[::-2] + PATIENTS[-2::-2]
    assert dict(zip(mixed, split_patients(mixed, SIZES, seed=1), strict=True)) == first
    assert dict(zip(PATIENTS, split_patients(PATIENTS, SIZES, seed=2), strict=True)) != first


def test_every_split_is_as_likely_as_every_other():
    """All 10 splits of 5 patients into 3 and 2, over 4,000 seeds: 400 each, with a standard deviation of 19."""
    patients = list("abcde")
    seen = Counter()
    for seed in range(4000):
        parts = split_patients(patients, {"train": 3, "val": 0, "test": 2}, seed=seed)
        seen[tuple(p for p, part in zip(patients, parts, strict=True) if part == "test")] += 1
    assert set(seen) == set(combinations(patients, 2))
    assert all(abs(count - 400) < 100 for count in seen.values())


@given(
    units=st.lists(st.integers(1, 6), min_size=1, max_size=12),
    places=st.lists(st.integers(0, 2), min_size=12, max_size=12),
    seed=st.integers(0, 1000),
)
def test_whatever_is_possible_is_found_and_keeps_groups_together(units, places, seed):
    sizes = dict.fromkeys(NAMES, 0)
    patients, groups = [], []
    for number, (count, place) in enumerate(zip(units, places, strict=False)):
        sizes[NAMES[place]] += count
        patients += [f"{number}.{i}" for i in range(count)]
        groups += [f"g{number}" if count > 1 else None] * count
    parts = split_patients(patients, sizes, seed=seed, groups=groups)
    assert Counter(parts) == Counter({name: size for name, size in sizes.items() if size})
    for group in {g for g in groups if g}:
        assert len({part for part, own in zip(parts, groups, strict=True) if own == group}) == 1


def test_a_patient_in_two_groups_joins_them():
    patients, groups = ["a", "b", "b", "c", "d"], ["x", "x", "y", "y", None]
    for seed in range(20):
        parts = split_patients(patients, {"train": 3, "val": 0, "test": 1}, seed=seed, groups=groups)
        assert parts == ["train"] * 4 + ["test"]


def test_what_cannot_be_kept_together_is_said():
    patients = [f"{group}{i}" for group in "abc" for i in range(4)]
    with pytest.raises(InputError, match=r"groups of up to 4 patients.*6 \(train\), 3 \(val\), 3 \(test\)"):
        split_patients(patients, {"train": 6, "val": 3, "test": 3}, seed=1, groups=[patient[0] for patient in patients])


def test_a_large_table_is_split_quickly():
    patients = [f"P{i}" for i in range(20_000)]
    sizes = {"train": 16_000, "val": 2_000, "test": 2_000}
    groups = [str(i // 7) if i < 14_000 else None for i in range(20_000)]
    assert Counter(split_patients(patients, sizes, seed=3, groups=groups)) == sizes


@pytest.fixture
def scans(tmp_path):
    """Two scans of each of 71 patients, with a comma and a line break in a cell."""
    rows = [[patient, f"scan {i}", 'a "b", c\nd'] for patient in PATIENTS for i in (1, 2)]
    with (tmp_path / "scans.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["Patient ID", "scan", "note"], *rows])
    return tmp_path / "scans.csv"


ASKED = ["--train", "55", "--val", "8", "--test", "8", "--seed", "1"]


def test_the_table_comes_out_with_a_column_more(scans, tmp_path, capsys):
    assert main(["split", str(scans), *ASKED]) == 0
    captured = capsys.readouterr()
    head, *rows = csv.reader(io.StringIO(captured.out, newline=""))
    assert head == ["Patient ID", "scan", "note", "split"] and len(rows) == 142
    assert rows[0][:3] == ["P000", "scan 1", 'a "b", c\nd']
    by_patient = {}
    for row in rows:
        by_patient.setdefault(row[0], set()).add(row[3])
    assert Counter(next(iter(parts)) for parts in by_patient.values() if len(parts) == 1) == SIZES
    assert "train    55 patients   110 rows" in captured.err
    assert main(["split", str(scans), *ASKED, "-o", str(tmp_path / "out.csv")]) == 0
    assert (tmp_path / "out.csv").read_bytes().decode() == captured.out
    assert main(["split", str(scans), *ASKED, "-o", str(tmp_path / "out.csv")]) == 2
    assert main(["cohort-table", str(tmp_path / "out.csv"), "--by", "split"]) == 0


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("patient,v\n" + "".join(f"{i},1\n" for i in range(70)), [], "found 70 patients in 70 rows, expected 71"),
        ("name,v\na,1\n", [], "no column is called patient, id or the like; name one of these with --patient: name, v"),
        ("patient,id\na,1\n", [], "patient and id could each identify the patient"),
        ("name,v\na,1\n", ["--patient", "mrn"], "has no column 'mrn' for --patient"),
        ("id,v\na,1\n,1\n", [], "line 3 has no id"),
        ("id,split\na,1\n", [], "already has a column 'split'"),
        ("id,v\na,1\n", ["--group", "w"], "has no column 'w' for --group"),
    ],
)
def test_wrong_tables_are_refused_and_leave_nothing(tmp_path, capsys, text, arguments, message):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    assert main(["split", str(tmp_path / "t.csv"), *ASKED, "-o", str(tmp_path / "out.csv"), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out.csv").exists()
