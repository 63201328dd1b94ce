"""The one way into SimpleITK's file readers: headers, nothing printed, and safe from several threads.

The toolkit and the libraries below it write warnings straight to the terminal; what matters in them is checked and
said by `whs_fast.reading` in its own words.

ITK (5.4) makes its global variables at their first use and enters them into one map (SingletonIndex) without a lock.
Where the first readers of a process run in several threads, two of them change that map at once, and about one
process in a thousand dies of it. So all that reading needs is made here, in the thread that imports this module.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import SimpleITK as sitk

_lock = threading.Lock()
_depth = 0
_shown_before = False
_standard_error: int | None = None


@contextmanager
def silence() -> Iterator[None]:
    """Keep SimpleITK's warnings off the terminal, and what the libraries below it print to standard error.

    The latter where Python's standard error has a descriptor of its own, as the command line gives it: elsewhere, as in
    a service, other threads print to that of the libraries too. Both settings are global, so the last of nested or
    parallel users restores them.
    """
    global _depth, _shown_before, _standard_error
    with _lock:
        if _depth == 0:
            _shown_before = sitk.ProcessObject.GetGlobalWarningDisplay()
            sitk.ProcessObject.SetGlobalWarningDisplay(False)
            _standard_error = _turn_away()
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                sitk.ProcessObject.SetGlobalWarningDisplay(_shown_before)
                if _standard_error is not None:
                    os.dup2(_standard_error, 2)
                    os.close(_standard_error)


def _turn_away() -> int | None:
    """Point descriptor 2 at nothing, and give what it was; None, and nothing done, where Python prints there."""
    try:
        if sys.stderr.fileno() == 2:
            return None
        before = os.dup(2)
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        return before
    except (AttributeError, OSError, ValueError):  # no standard error, or one without a descriptor
        return None


def open_header(path: Path, image_io: str, *, private: bool = False) -> sitk.ImageFileReader | None:
    """A reader that has read the header of a file, private tags too if wanted; None where the toolkit cannot."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetLoadPrivateTags(private)
    try:
        with toolkit_name(path) as reader_name:
            reader.SetFileName(reader_name)
            reader.ReadImageInformation()
    except RuntimeError:
        return None
    return reader


@contextmanager
def toolkit_name(path: Path) -> Iterator[str]:
    """A name by which the toolkit can open a file until the block ends.

    It takes names in UTF-8 alone, and ends the process at any other: names from a disk or a zip in Latin-1, and, since
    Python hands them on in its own way, all that are not ASCII where the locale is C. A file whose name is not UTF-8 is
    opened here and goes by the number of its descriptor. That needs neither a temporary folder, as a link of another
    name would, nor memory, as a copy would; and where there is no /dev/fd (Windows) there are no such names.
    """
    try:
        name = os.fsencode(path).decode("utf-8")
    except UnicodeDecodeError:
        with path.open("rb") as file:
            yield f"/dev/fd/{file.fileno()}"
    else:
        yield name


def _make_globals() -> None:
    """Go once through a reader, which makes the readers of all formats, and through a filter, both without an image."""
    with silence():
        # Of the formats read here, only that of NRRD has a variable of its own for the header.
        open_header(Path(__file__), "NrrdImageIO")
        cast = sitk.CastImageFilter()
        cast.SetNumberOfWorkUnits(1)  # no threads
        cast.Execute(sitk.Image(1, 1, sitk.sitkInt16))


_make_globals()
