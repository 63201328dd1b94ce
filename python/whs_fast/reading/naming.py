"""What messages call a path, and a file inside a folder without naming the patient after whom some exports name it."""

import os
import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from whs_fast.errors import one_line

# Name, ID, birth date, other IDs and other names of the patient.
_PATIENT_TAGS = ("0010|0010", "0010|0020", "0010|0030", "0010|1000", "0010|1001")
_LEAST_LETTERS = 3
_MOST_ASKED = 20


def printable(path: str | os.PathLike[str]) -> str:
    """A path with question marks for what no terminal can show."""
    return one_line(os.fspath(path))


def name_inside(path: Path, folder: Path, others: Iterable[Path]) -> str:
    """A path below a folder, with three dots for every word that `others`, images beside it, tell of their patient."""
    words = {word for other in islice(others, _MOST_ASKED) for word in _patient_words(other)}
    name = printable(os.path.relpath(path, folder) if path != folder else path.name)
    for word in sorted(words, key=len, reverse=True):
        name = re.sub(re.escape(word), "...", name, flags=re.IGNORECASE)
    return name


def _patient_words(path: Path) -> set[str]:
    from whs_fast.reading.itk import open_header  # costs 100 MB: see reading.scan

    reader = open_header(path, "GDCMImageIO")
    if reader is None:
        return set()
    texts = [str(reader.GetMetaData(key)) for key in _PATIENT_TAGS if reader.HasMetaDataKey(key)]
    return {word for text in texts for word in re.split(r"[^\w]+|_", text) if len(word) >= _LEAST_LETTERS}
