"""What is done, as files: a record a scan, written whole, from which every later call knows where it stands.

    OUT/scans/NAME/           results, as `whs-fast run` writes them
    OUT/thumbnails/NAME.jpg   the picture, small
    OUT/rows/NAME.json        the record: the key of what was asked for, and the rows of the table
    OUT/rows/NAME.tries       how often a worker began; gone when the record is there

A worker that is killed leaves a count of tries, and so a scan that kills its workers is known by the third.
"""

import hashlib
import json
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whs_fast.batching.inputs import Scan
from whs_fast.errors import OutputError

Row = dict[str, Any]


@dataclass(frozen=True)
class Record:
    """The rows of a scan, one or one a phase, and the key of the models, options and file that they came from."""

    key: str
    rows: list[Row]


@dataclass(frozen=True, repr=False)
class Places:
    """Where things lie in the folder of a batch."""

    output: Path

    def results(self, name: str) -> Path:
        return self.output / "scans" / name

    def thumbnail(self, name: str) -> Path:
        return self.output / "thumbnails" / f"{name}.jpg"

    def record(self, name: str) -> Path:
        return self.output / "rows" / f"{name}.json"

    def tries(self, name: str) -> Path:
        return self.output / "rows" / f"{name}.tries"


def make_key(asked: Mapping[str, Any], scan: Scan) -> str:
    """A hash of what was asked for, and of the scan's file: its size and when it was changed, as make would look."""
    status = scan.path.stat()
    stamp = [status.st_size, status.st_mtime_ns]
    text = json.dumps([asked, scan.series, scan.phase, stamp], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_record(places: Places, name: str) -> Record | None:
    """The record of a scan; None where there is none, or one that is damaged."""
    try:
        found = json.loads(places.record(name).read_text(encoding="utf-8"))
        return Record(str(found["key"]), list(found["rows"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_record(places: Places, name: str, record: Record) -> None:
    """Writes a record whole, and ends the count of tries. Raises OutputError where it cannot be written."""
    text = json.dumps({"key": record.key, "rows": record.rows}, ensure_ascii=False, allow_nan=False)
    put(places.record(name), text.encode())
    forget_tries(places, name)


def count_try(places: Places, name: str) -> int:
    """Notes that a worker begins with a scan, and tells how many did before it and did not end."""
    file = places.tries(name)
    try:
        before = file.stat().st_size
    except OSError:
        before = 0
    put(file, b"." * (before + 1))
    return before


def count_tries(places: Places, name: str) -> int:
    """How many workers began with a scan and did not end."""
    with suppress(OSError):
        return places.tries(name).stat().st_size
    return 0


def forget_tries(places: Places, name: str) -> None:
    """Ends the count of tries of a scan."""
    with suppress(OSError):
        places.tries(name).unlink(missing_ok=True)


def put(file: Path, content: bytes) -> None:
    """Writes a file whole, in the place of an earlier one; its folder is made. Raises OutputError."""
    aside = file.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            aside.write_bytes(content)
            aside.replace(file)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).splitlines()[0]
        raise OutputError(f"{file}: writing failed ({reason}); the results need a folder with free space") from error


def remove_results(places: Places, name: str) -> None:
    """Removes earlier results of a scan: a failure must not stand beside what other options gave."""
    shutil.rmtree(places.results(name), ignore_errors=True)
    with suppress(OSError):
        places.thumbnail(name).unlink(missing_ok=True)
