"""Rows lie flat under names with units, and the table holds them as they are."""

import csv
import io

import pyarrow.parquet
from hypothesis import given
from hypothesis import strategies as st
from support.pages import measurements
from whs_fast.batching.rows import IDENTITY, columns_of, lay_flat
from whs_fast.batching.table import to_csv, to_parquet

SOURCE = {"kind": "nifti", "size": [3, 2, 1], "spacing_mm": [0.4, 0.5, 0.6], "phase": None}
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]))
VALUES = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)


def flat(**changes):
    return lay_flat(measurements(source=SOURCE, backend={"name": "native"}, **changes))


def test_confidence_and_contrast_lie_flat_where_they_are_there():
    confidence = {"review": True, "reasons": ["two parts", "too small"], "predicted_dice": {"overall_pooled": 0.8}}
    row = flat(confidence=confidence, contrast={"aorta": {"mean_hu": 350.5, "sd_hu": 20}, "mixed": False})
    assert row["confidence_review"] is True and row["confidence_reasons"] == "two parts; too small"
    assert row["confidence_predicted_dice_overall_pooled"] == 0.8
    assert (row["contrast_aorta_mean_hu"], row["contrast_mixed"]) == (350.5, False)
    assert flat(contrast=None, confidence={"review": False, "reasons": [], "predicted_dice": None}).keys() - flat() == {
        *("confidence_review", "confidence_reasons"),
    }
    assert not [name for name in flat() if name.startswith(("confidence", "contrast"))]


def test_axes_are_named():
    row = flat()
    assert [row[f"voxels_{axis}"] for axis in "xyz"] == SOURCE["size"]
    assert [row[f"aortic_valve_{axis}_mm"] for axis in "xyz"] == [1.5, -2.5, 3.0]


def test_the_identifying_columns_come_first_and_no_column_is_lost():
    assert columns_of([]) == list(IDENTITY)
    assert columns_of([{"a_ml": 1.0, "id": "x"}, {"b_ml": 2.0}]) == [*IDENTITY, "a_ml", "b_ml"]


@given(st.lists(st.fixed_dictionaries({"id": TEXTS, "reason": TEXTS, "a_ml": VALUES}), max_size=5))
def test_both_tables_hold_every_value(rows):
    stored = pyarrow.parquet.read_table(pyarrow.BufferReader(to_parquet(rows))).to_pylist()
    assert [{name: row[name] for name in ("id", "reason", "a_ml")} for row in stored] == rows
    read = list(csv.DictReader(io.StringIO(to_csv(rows).decode(), newline="")))
    expected = [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]
    assert [{name: row[name] for name in ("id", "reason", "a_ml")} for row in read] == expected


def test_truth_values_stay_what_they_are():
    stored = pyarrow.parquet.read_table(pyarrow.BufferReader(to_parquet([{"id": "a", "x": True}, {"id": "b"}])))
    assert stored.to_pylist()[0]["x"] is True and stored.to_pylist()[1]["x"] is None
