"""Puts results into their folder whole or not at all.

Everything is written into a folder aside first, on the same disk, and then renamed. A new folder appears in one step.
In a folder that exists already, earlier results are moved away and the new ones moved in, measurements.json last;
where that fails, what was there before is put back.
"""

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from whs_fast.errors import InputError, OutputError
from whs_fast.outputs import RESULT_NAMES


def check_folder(folder: Path, *, overwrite: bool, names: Sequence[str] = RESULT_NAMES) -> None:
    """Refuses what can be known to fail before any work is done; names are those of the results, the last to come last.

    Raises InputError where the folder holds results and overwrite is false, OutputError where it cannot be written.
    """
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise OutputError(f"{nearest}: found a file, expected a folder to write results into")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(f"{nearest}: found a folder without permission to write, expected one with it")
    found = [name for name in names if (folder / name).exists()]
    if found and not overwrite:
        raise InputError(
            f"{folder}: found earlier results ({found[-1]}), expected none, or --overwrite (overwrite=True)"
        )


@contextmanager
def written_aside(folder: Path, *, overwrite: bool, names: Sequence[str] = RESULT_NAMES) -> Iterator[Path]:
    """Gives a folder to write into; what it holds takes its place in `folder` when the block ends without exception.

    Raises InputError and OutputError as check_folder does, and OutputError where writing or moving fails.
    """
    check_folder(folder, overwrite=overwrite, names=names)
    made: list[Path] = []
    aside: Path | None = None
    try:
        exists = folder.exists()
        made = [] if exists else _make_parents(folder)
        # Beside a new folder, but inside an existing one, which may be the root of its disk.
        place = folder if exists else folder.parent
        aside = place / f".{folder.name}.{secrets.token_hex(4)}.partial"
        aside.mkdir()
        yield aside
        if exists:
            _move_in(aside, folder, names)
        else:
            aside.rename(folder)
        made = []
    except OutputError as error:
        # The folder aside is our own affair: the user asked for files elsewhere.
        raise OutputError(str(error).replace(str(aside), str(folder))) from error
    except OSError as error:
        reason = (error.strerror or str(error)).splitlines()[0]
        raise OutputError(f"{folder}: found that writing failed ({reason}), expected a folder with room") from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
        for parent in reversed(made):
            with suppress(OSError):
                parent.rmdir()


def write_file(path: Path, text: str, *, overwrite: bool) -> None:
    """Writes one text file, UTF-8, whole or not at all.

    Raises InputError where there is one and overwrite is false, OutputError where it cannot be written.
    """
    with written_aside(path.parent, overwrite=overwrite, names=(path.name,)) as aside:
        (aside / path.name).write_text(text, encoding="utf-8", newline="\n")


def _make_parents(folder: Path) -> list[Path]:
    made: list[Path] = []
    for parent in reversed(folder.parents):
        if not parent.exists():
            parent.mkdir()
            made.append(parent)
    return made


def _move_in(aside: Path, folder: Path, names: Sequence[str]) -> None:
    earlier = aside / "earlier"
    earlier.mkdir()
    moved: list[tuple[Path, Path]] = []
    try:
        for name in reversed(names):
            if (folder / name).exists():
                moved.append((folder / name, earlier / name))
                (folder / name).rename(earlier / name)
        for name in names:
            if (aside / name).exists():
                moved.append((aside / name, folder / name))
                (aside / name).rename(folder / name)
    except BaseException:
        for source, target in reversed(moved):
            with suppress(OSError):
                target.rename(source)
        raise
