"""Reading a table of patients: a CSV file as Excel, R or a database writes it, one patient or scan per row.

The separator is whichever of comma, semicolon and tab occurs most often in the header; if it is not the comma, numbers
may have a decimal comma. A value is missing where the cell is empty or holds one of the words that R, Python and
databases write instead.
"""

import csv
import io
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from whs_fast.errors import InputError

# Names of a column that says which patient a row belongs to.
ID_COLUMNS = ("patient", "patient_id", "patientid", "subject", "subject_id", "subjectid", "id", "case")
_KEY = "id"
_MISSING = frozenset(("", "na", "n/a", "nan", "null", "#n/a", "missing", ".", "?"))


@dataclass(frozen=True)
class PatientTable:
    """The cells of a file as text, without surrounding blanks, None where the value is missing.

    lines holds the number of the line, from 1, on which each row begins in the file; cells the rows as they were read.
    """

    name: str
    columns: dict[str, list[str | None]]
    lines: list[int]
    cells: list[list[str]]
    separator: str

    def column(self, name: str, purpose: str) -> list[str | None]:
        """The values of a column. Raises InputError, which says what it is for, where there is no such column."""
        if name not in self.columns:
            raise InputError(
                f"{self.name}: has no column {name!r} {purpose}; its columns are: {', '.join(self.columns)}"
            )
        return self.columns[name]

    def only(self, names: Collection[str]) -> "PatientTable":
        """The table with these columns alone, in their order. Raises InputError where it lacks one."""
        return replace(self, columns={name: self.column(name, "to describe") for name in names})


def read_patients(path: Path) -> PatientTable:
    """Reads a CSV file with a header line.

    Raises InputError where it cannot be read, is not UTF-8, has no rows, has a column without a name or two of the same
    name, or a row with more or fewer cells than the header.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: the text is not UTF-8; save it as UTF-8 (in Excel: 'CSV UTF-8')") from error
    except OSError as error:
        reason = (error.strerror or "input error").lower()
        raise InputError(f"{path}: cannot be read ({reason}), expected a CSV file") from error
    header = text.split("\n", 1)[0]
    separator = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    lines, rows, line = [], [], 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                lines.append(line)
                rows.append([cell.strip() for cell in row])
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}: the table is damaged in line {line} ({error}), expected a CSV file") from error
    if len(rows) < 2:
        found = "a header alone" if rows else "nothing"
        raise InputError(f"{path}: found {found}, expected a header and at least one row")
    names, cells = rows[0], rows[1:]
    if "" in names or len(set(names)) != len(names):
        raise InputError(f"{path}: a column has no name, or the name of another; each needs a name of its own")
    for number, row in zip(lines[1:], cells, strict=True):
        if len(row) != len(names):
            raise InputError(f"{path}: line {number} has {len(row)} cells, but the header has {len(names)}")
    columns = {
        name: [None if value.casefold() in _MISSING else value for value in values]
        for name, values in zip(names, zip(*cells, strict=True), strict=True)
    }
    return PatientTable(str(path), columns, lines[1:], cells, separator)


def join(table: PatientTable, other: PatientTable) -> tuple[PatientTable, int]:
    """The table with the columns of another added to the rows of the same id, and how many rows found none there.

    Raises InputError where one has no column id, where the other has an id twice, and where both have a column of the
    same name besides.
    """
    ids, others = (one.column(_KEY, "to join by") for one in (table, other))
    place = {own: index for index, own in enumerate(others)}
    if len(place) < len(others):
        twice = next(own for index, own in enumerate(others) if place[own] != index)
        raise InputError(f"{other.name}: found the {_KEY} {twice} more than once, expected one row for each")
    both = sorted((table.columns.keys() & other.columns.keys()) - {_KEY})
    if both:
        raise InputError(f"{other.name}: has the column {both[0]!r}, as {table.name} has: rename one of them")
    rows = [None if own is None else place.get(own) for own in ids]
    added = {
        name: [None if row is None else values[row] for row in rows]
        for name, values in other.columns.items()
        if name != _KEY
    }
    return replace(table, columns=table.columns | added), rows.count(None)


def to_number(value: str, separator: str) -> float | None:
    """A number, or None where the text is not one; infinities and digit separators are not numbers here."""
    if separator != ",":
        value = value.replace(",", ".")
    if not any(character.isdigit() for character in value) or "_" in value:
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None
