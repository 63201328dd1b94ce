"""Which prediction belongs to which reference: by name in two folders, or as a CSV says.

A folder holds one label map per case, either as files (case.nii.gz, case_label.nii.gz) or as the folders that `whs-fast
run` writes (case/labels.nii.gz). Where some files of a folder end in a word such as `_label`, those without one are
taken for scans and skipped.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from whs_fast.errors import InputError
from whs_fast.reading.labels import label_suffix, without_marker

_RUN_NAMES = ("labels.nii.gz", "labels.seg.nrrd")
_COLUMNS = ("case", "prediction", "reference")


@dataclass(frozen=True)
class Case:
    """One case: its name and its two label maps."""

    name: str
    prediction: Path
    reference: Path


@dataclass(frozen=True)
class Pairs:
    """Cases in the order of their names, and the names for which one of the two folders had no map."""

    cases: tuple[Case, ...]
    without_prediction: tuple[str, ...] = ()
    without_reference: tuple[str, ...] = ()


def pair_folders(predictions: Path, references: Path) -> Pairs:
    """Pairs the label maps of two folders by their names.

    Raises InputError where a folder is missing, has no label maps or has two of the same name, and where no name is in
    both.
    """
    found, expected = find_label_maps(predictions), find_label_maps(references)
    shared = sorted(set(found) & set(expected))
    if not shared:
        raise InputError(
            f"{predictions}: found {_some(found)}, none of which is in {references} ({_some(expected)}); "
            "give both maps of a case the same name, or list the pairs in a CSV"
        )
    return Pairs(
        tuple(Case(name, found[name], expected[name]) for name in shared),
        tuple(sorted(set(expected) - set(found))),
        tuple(sorted(set(found) - set(expected))),
    )


def read_pairs(path: Path) -> Pairs:
    """Pairs from a CSV with the columns case, prediction and reference; paths are relative to the CSV's folder.

    Raises InputError for a file that cannot be read, missing columns or values, names that occur twice, and paths
    that are no files.
    """
    cases: dict[str, Case] = {}
    for number, row in read_table(path, _COLUMNS):
        name = row["case"]
        files = [path.parent / row[column] for column in _COLUMNS[1:]]
        for file in files:
            if not file.is_file():
                raise InputError(f"{path}: line {number} names {file}, which is not a file, expected a label map")
        if name in cases:
            raise InputError(f"{path}: line {number} repeats the case {name}, expected each case once")
        cases[name] = Case(name, *files)
    if not cases:
        raise InputError(f"{path}: has no pairs, expected one per line")
    return Pairs(tuple(cases[name] for name in sorted(cases)))


def read_table(path: Path, columns: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Rows of a CSV file (comma, UTF-8) with their line numbers; the named columns are there and not empty.

    Raises InputError otherwise.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows = [(reader.line_num, row) for row in reader]
            header = reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "not a CSV in UTF-8"
        raise InputError(f"{path}: cannot be read ({reason.lower()}), expected a CSV") from error
    lacking = [column for column in columns if column not in header]
    if lacking:
        raise InputError(f"{path}: has no column {', '.join(lacking)}, expected {', '.join(columns)}")
    for number, row in rows:
        empty = [column for column in columns if not (row[column] or "").strip()]
        if empty:
            raise InputError(f"{path}: line {number} has no {', '.join(empty)}, expected a value")
    return [(number, {column: row[column].strip() for column in columns}) for number, row in rows]


def find_label_maps(folder: Path) -> dict[str, Path]:
    """Label maps of a folder by the names of their cases.

    Raises InputError where the folder cannot be read, has no label map, or has two of the same name.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected one with label maps")
    marked: dict[str, list[Path]] = {}
    plain: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            own = next((path / name for name in _RUN_NAMES if (path / name).is_file()), None)
            if own is not None:
                marked.setdefault(path.name, []).append(own)
        elif (suffix := label_suffix(path)) is not None:
            stem = path.name[: -len(suffix)]
            name = without_marker(stem)
            # .seg.nrrd is itself a marker.
            kind = marked if name != stem or suffix == ".seg.nrrd" else plain
            kind.setdefault(name, []).append(path)
    maps = marked or plain
    if not maps:
        raise InputError(f"{folder}: has no label maps, expected NIfTI, NRRD or MetaImage files, or results of run")
    for name, paths in maps.items():
        if len(paths) > 1:
            raise InputError(
                f"{folder}: both {paths[0].name} and {paths[1].name} belong to the case {name}, expected one label map"
            )
    return {name: paths[0] for name, paths in maps.items()}


def _some(maps: dict[str, Path]) -> str:
    names = sorted(maps)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
