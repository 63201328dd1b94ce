"""Which scans a batch is asked for, and what each is called.

Inputs are scans, folders that hold scans, a list (.txt) of these, or a CSV of scans with ids. The id of a scan never
depends on what else is among the inputs, unless two would be called alike: a second call must find what a first one
did.
"""

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from whs_fast.errors import InputError, one_line
from whs_fast.reading.finding import find_scans, without_suffix
from whs_fast.study.cohort.patients import read_patients

# In the name of a phase's results it parts the name of the scan from that of the phase; no scan's name holds it.
PHASE_MARK = "@"
_MOST_LETTERS = 60  # 255 bytes, the most that file systems take, with room for a phase and an ending
_TAKEN_BY_WINDOWS = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True, repr=False)  # Dask logs what it is given, and a path can hold a patient's name
class Scan:
    """One scan: its id for people and tables, a name for its files, where it lies, and what to take of it."""

    id: str
    name: str
    path: Path
    series: str | None = None
    phase: str | None = None


@dataclass(frozen=True)
class Gathered:
    """Scans in the order of their ids, and how many label maps were passed over for their names."""

    scans: tuple[Scan, ...]
    label_maps: int


@dataclass(frozen=True)
class _Named:
    """A scan with the id that it should have, and the one that it gets where others want the same."""

    short: str
    long: str
    scan: Scan


def gather(inputs: Sequence[str | os.PathLike[str]], output: Path) -> Gathered:
    """Finds the scans of all inputs, and gives each an id and a name that no other has.

    Raises InputError for an input that is not there, a list or CSV that is wrong, with the number of the line, and
    where there is no scan.
    """
    maps = Counter[str]()
    named = [one for text in inputs for one in _expand(os.fspath(text), Path(), output, maps, lists=True)]
    if not named:
        raise InputError(f"{_some(inputs)}: found no scan, expected NIfTI, NRRD, MetaImage or DICOM")
    # Inputs may overlap, such as a folder and a file in it.
    places = [os.path.abspath(one.scan.path) for one in named]  # noqa: PTH100  (resolve would follow links)
    unique = {(place, one.scan.id, one.scan.series): (place, one) for place, one in zip(places, named, strict=True)}
    wanted = [(one_line(one.short), one_line(one.long), place) for place, one in unique.values()]
    ids = _distinct(wanted, key=str)
    names = _distinct([(_file_name(own), _file_name(own), own) for own in ids], key=str.casefold)
    found = (one.scan for _, one in unique.values())
    scans = [replace(scan, id=own, name=name) for scan, own, name in zip(found, ids, names, strict=True)]
    return Gathered(tuple(sorted(scans, key=lambda scan: scan.id)), maps["label maps"])


def _expand(text: str, base: Path, output: Path, maps: Counter[str], *, lists: bool) -> Iterator[_Named]:
    """The scans of one input, whose path is relative to `base`."""
    path = base / text
    if path.is_dir():
        found = find_scans(path, leave_out=output)
        maps["label maps"] += found.label_maps
        for scan in found.scans:
            if scan == path:
                yield _named(text, path)
            else:
                name = without_suffix(scan).relative_to(path).as_posix()
                yield _Named(name, f"{_tidy(text)}/{name}", Scan("", "", scan))
    elif not path.exists():
        raise InputError(f"{one_line(text)}: found no such file or folder, expected scans")
    elif lists and path.suffix.lower() == ".csv":
        yield from _read_csv(path)
    elif lists and path.suffix.lower() == ".txt":
        yield from _read_list(path, output, maps)
    else:
        yield _named(text, path)


def _named(text: str, path: Path) -> _Named:
    long = _tidy(os.fspath(without_suffix(Path(text))))
    return _Named(Path(long).name or without_suffix(path.resolve()).name, long, Scan("", "", path))


def _tidy(text: str) -> str:
    """A path as given, without what only leads there."""
    return "/".join(part for part in Path(os.path.normpath(text)).as_posix().split("/") if part not in ("", ".", ".."))


def _read_list(path: Path, output: Path, maps: Counter[str]) -> Iterator[_Named]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = (getattr(error, "strerror", None) or "not text in UTF-8").lower()
        raise InputError(f"{path}: cannot be read ({reason}), expected one path a line") from error
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            try:
                yield from _expand(line.strip(), path.parent, output, maps, lists=False)
            except InputError as error:
                raise InputError(f"{path}: line {number}: {error}") from error


def _read_csv(path: Path) -> Iterator[_Named]:
    table = read_patients(path)
    wanted = [table.column(name, "to find the scans by") for name in ("id", "path")]
    others = [table.columns.get(name, [None] * len(table.lines)) for name in ("series", "phase")]
    first: dict[str, int] = {}
    for number, own, place, series, phase in zip(table.lines, *wanted, *others, strict=True):
        if own is None or place is None:
            raise InputError(f"{path}: line {number} has no {'path' if own else 'id'}, expected one in every line")
        if own in first:
            raise InputError(f"{path}: line {number} repeats the id {own} of line {first[own]}, expected each id once")
        first[own] = number
        scan = path.parent / place
        if not scan.exists():
            raise InputError(f"{path}: line {number}: found no file or folder at its path, expected a scan")
        yield _Named(own, own, Scan(own, "", scan, series, phase))


def _distinct(wanted: Sequence[tuple[str, str, str]], *, key: Callable[[str], str]) -> list[str]:
    """For each of (short, long, sure) the short text, where that is not the only one of its kind the long one, and
    where that is not either, the short one with a hash of the sure one."""
    shorts, longs = (Counter(key(one[which]) for one in wanted) for which in (0, 1))
    chosen = []
    for short, long, sure in wanted:
        if shorts[key(short)] == 1:
            chosen.append(short)
        elif longs[key(long)] == 1 and key(long) not in shorts:
            chosen.append(long)
        else:
            chosen.append(f"{short}-{_digest(sure)}")
    return chosen


def _file_name(text: str) -> str:
    """A name that every file system takes; different ids may give the same one."""
    name = re.sub(r"[^\w.+-]", "_", unicodedata.normalize("NFC", text)).lstrip(".") or "_"
    if len(name) > _MOST_LETTERS:
        name = f"{name[:_MOST_LETTERS]}-{_digest(text)}"
    return f"{name}_" if _TAKEN_BY_WINDOWS.fullmatch(name) or name.endswith(".") else name


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:8]


def _some(inputs: Sequence[str | os.PathLike[str]]) -> str:
    shown = ", ".join(one_line(os.fspath(one)) for one in inputs[:3])
    return f"{shown} and {len(inputs) - 3} more" if len(inputs) > 3 else shown
