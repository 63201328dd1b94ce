"""Puts results into their folder whole or not at all.

Everything is written into a folder aside first, on the same disk, and then renamed. A new folder appears in one step.
In a folder that exists already, earlier results are moved away and the new ones moved in, measurements.json last;
where that fails, what was there before is put back. What killed processes left aside goes when a later one writes in
the same place; where one was killed between the two moves, the later one undoes the first or ends the second.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from whs_fast.errors import InputError, OutputError
from whs_fast.outputs import RESULT_NAMES
from whs_fast.temporary import held_folder, sweep

# Nothing of the target's own name, which may be a patient's.
_PREFIX = ".whs_fast_partial_"
_MOST_ATTEMPTS = 100
# In the folder aside: the results that were there before, and what says that all of them were moved away.
_EARLIER, _MOVING_IN = "earlier", "moving_in"


def check_folder(folder: Path, *, overwrite: bool, names: Sequence[str] = RESULT_NAMES) -> None:
    """Refuses what can be known to fail before any work is done; names are those of the results, the last to come last.

    What killed processes left there goes first.

    Raises InputError where the folder holds results and overwrite is false, OutputError where it cannot be written.
    """
    for place in (folder.parent, folder):
        with suppress(OSError):
            sweep(place, _PREFIX, rescue=_rescue)
    nearest, mode = _nearest(folder)
    if not stat.S_ISDIR(mode):
        raise OutputError(f"{nearest}: is a file; the results need a folder")
    if not os.access(nearest, os.W_OK | os.X_OK) and nearest.exists():
        raise OutputError(f"{nearest}: no permission to write in this folder")
    found = [name for name in names if (folder / name).exists()]
    if found and not overwrite:
        raise InputError(
            f"{folder}: holds earlier results ({found[-1]}); replace them with --overwrite (overwrite=True)"
        )


def _nearest(folder: Path) -> tuple[Path, int]:
    """The folder or the nearest of its parents that is there, and its mode by the same look: it may go meanwhile."""
    for place in (folder, *folder.parents):
        with suppress(OSError):
            return place, place.stat().st_mode
    raise OutputError(f"{folder}: no such place; the results need a folder")


@contextmanager
def written_aside(folder: Path, *, overwrite: bool, names: Sequence[str] = RESULT_NAMES) -> Iterator[Path]:
    """Gives a folder to write into; what it holds takes its place in `folder` when the block ends without exception.

    Raises InputError and OutputError as check_folder does, and OutputError where writing or moving fails.
    """
    check_folder(folder, overwrite=overwrite, names=names)
    aside = folder  # until there is one
    try:
        with _make_aside(folder) as aside:
            yield aside
            if folder.exists():
                # Others may have written into it meanwhile.
                check_folder(folder, overwrite=overwrite, names=names)
                _move_in(aside, folder, names)
            else:
                aside.rename(folder)
    except OutputError as error:
        # The folder aside is our own affair: the user asked for files elsewhere.
        raise OutputError(str(error).replace(str(aside), str(folder))) from error
    except OSError as error:
        reason = (error.strerror or str(error)).splitlines()[0]
        raise OutputError(f"{folder}: writing failed ({reason}); the results need a folder with free space") from error


def write_file(path: Path, text: str, *, overwrite: bool) -> None:
    """Writes one text file, UTF-8, whole or not at all.

    Raises InputError where there is one and overwrite is false, OutputError where it cannot be written.
    """
    with written_aside(path.parent, overwrite=overwrite, names=(path.name,)) as aside:
        (aside / path.name).write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def _make_aside(folder: Path) -> Iterator[Path]:
    """Gives an empty folder on the disk of `folder`, whose parents are made, and go again where they stay empty."""
    made: list[Path] = []
    try:
        with ExitStack() as stack:
            for attempt in range(1, _MOST_ATTEMPTS + 1):
                try:
                    _make_parents(folder, made)
                    # Beside a new folder, but inside an existing one, which may be the root of its disk.
                    place = folder if folder.exists() else folder.parent
                    aside = stack.enter_context(held_folder(place, _PREFIX))
                    break
                except FileNotFoundError:
                    # Another process that made a parent has failed meanwhile and taken it away.
                    if attempt == _MOST_ATTEMPTS:
                        raise
            yield aside
    finally:
        for parent in reversed(made):
            with suppress(OSError):
                parent.rmdir()


def _make_parents(folder: Path, made: list[Path]) -> None:
    for parent in reversed(folder.parents):
        if not parent.exists():
            with suppress(FileExistsError):  # another process was faster
                parent.mkdir()
                made.append(parent)


def _move_in(aside: Path, folder: Path, names: Sequence[str]) -> None:
    earlier = aside / _EARLIER
    earlier.mkdir()
    moved: list[tuple[Path, Path]] = []
    try:
        for name in reversed(names):
            if (folder / name).exists():
                moved.append((folder / name, earlier / name))
                (folder / name).rename(earlier / name)
        (aside / _MOVING_IN).mkdir()
        for name in names:
            if (aside / name).exists():
                moved.append((aside / name, folder / name))
                (aside / name).rename(folder / name)
    except BaseException:
        for source, target in reversed(moved):
            with suppress(OSError):
                target.rename(source)
        raise


def _rescue(aside: Path) -> None:
    """Brings results into order whose moving was cut short: the earlier ones back, or, once all were gone, the new in.

    They lie in the folder that holds the one aside.
    """
    folder, earlier = aside.parent.parent, aside / _EARLIER
    if (aside / _MOVING_IN).exists():
        left = [path for path in aside.iterdir() if path.name not in (_EARLIER, _MOVING_IN)]
        left.sort(key=lambda path: path.name == RESULT_NAMES[-1])
    else:
        left = list(earlier.iterdir()) if earlier.exists() else []
    for path in left:
        path.rename(folder / path.name)
