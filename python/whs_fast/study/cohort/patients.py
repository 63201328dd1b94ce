"""Reading a table of patients: a CSV file as Excel, R or a database leaves it, one patient or scan a row.

The separator is the one of comma, semicolon and tab that the header has most of; where it is not the comma, numbers may
have a decimal comma. A value is missing where the cell holds nothing, or one of the words that R, Python and databases
leave in its place.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from whs_fast.errors import InputError

# Names of a column that says which patient a row belongs to.
ID_COLUMNS = ("patient", "patient_id", "patientid", "subject", "subject_id", "subjectid", "id", "case")
_MISSING = frozenset(("", "na", "n/a", "nan", "null", "#n/a", "missing", ".", "?"))


@dataclass(frozen=True)
class PatientTable:
    """The cells of a file as text, without blanks around it, None where the value is missing.

    lines are the numbers, from 1, of the lines on which the rows begin in the file; cells the rows as they were read.
    """

    name: str
    columns: dict[str, list[str | None]]
    lines: list[int]
    cells: list[list[str]]
    separator: str

    def column(self, name: str, purpose: str) -> list[str | None]:
        """The values of a column. Raises InputError, which names the purpose and the columns, where there is none."""
        if name not in self.columns:
            raise InputError(
                f"{self.name}: found no column {name!r} {purpose}, expected one of: {', '.join(self.columns)}"
            )
        return self.columns[name]


def read_patients(path: Path) -> PatientTable:
    """Reads a CSV file with a header line.

    Raises InputError where it cannot be read, is not UTF-8, has no rows, a column without a name or two of one name, or
    a row with more or fewer cells than the header.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: found text that is not UTF-8, expected UTF-8 (Excel: 'CSV UTF-8')") from error
    except OSError as error:
        reason = (error.strerror or "input error").lower()
        raise InputError(f"{path}: found a file that cannot be read ({reason}), expected a CSV file") from error
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
        raise InputError(f"{path}: found a damaged table in line {line} ({error}), expected a CSV file") from error
    if len(rows) < 2:
        raise InputError(f"{path}: found {len(rows)} lines, expected a header and at least one row")
    names, cells = rows[0], rows[1:]
    if "" in names or len(set(names)) != len(names):
        raise InputError(f"{path}: found columns without a name or two of one name, expected a name for each")
    for number, row in zip(lines[1:], cells, strict=True):
        if len(row) != len(names):
            raise InputError(f"{path}: found {len(row)} cells in line {number}, expected {len(names)}")
    columns = {
        name: [None if value.casefold() in _MISSING else value for value in values]
        for name, values in zip(names, zip(*cells, strict=True), strict=True)
    }
    return PatientTable(str(path), columns, lines[1:], cells, separator)


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
