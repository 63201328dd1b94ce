"""The table of a batch: one row a scan or phase, as CSV for people and programs and as Parquet for large cohorts."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from whs_fast.batching.rows import columns_of

CSV, PARQUET = "table.csv", "table.parquet"


def to_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The rows as CSV: comma, UTF-8, empty where there is no value."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, columns_of(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def to_parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The rows as Parquet: text, whole numbers, floats and truth values as they are, null where there is no value."""
    import pyarrow
    from pyarrow import parquet

    columns = {name: [row.get(name) for row in rows] for name in columns_of(rows)}
    arrays = {name: pyarrow.array(values, _kind(values)) for name, values in columns.items()}
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.table(arrays), sink, compression="zstd")
    return bytes(sink.getvalue())


def _kind(values: Sequence[Any]) -> Any:
    import pyarrow

    kinds = {type(value) for value in values} - {type(None)}
    if kinds <= {int, float} and kinds:
        return pyarrow.float64() if float in kinds else pyarrow.int64()
    return pyarrow.bool_() if kinds == {bool} else pyarrow.string()
