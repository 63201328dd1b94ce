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
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from whs_fast.errors import InputError

try:
    import SimpleITK as sitk
except ModuleNotFoundError as error:  # left out to save room, since files of one scan are read without it
    raise InputError("SimpleITK, which reads DICOM, is not installed: pip install SimpleITK") from error

_lock = threading.Lock()
_depth = 0
_before = ExitStack()


@contextmanager
def silence() -> Iterator[None]:
    """Keep the warnings of SimpleITK and pydicom, which quote headers, off the terminal, and what C libraries print.

    The latter where Python's standard error has a descriptor of its own, as the command line gives it: elsewhere, as in
    a service, other threads print to that of the libraries too. The settings are global, so the last of nested or
    parallel users restores them.
    """
    global _depth
    with _lock:
        if _depth == 0:
            shown = sitk.ProcessObject.GetGlobalWarningDisplay()
            _before.callback(sitk.ProcessObject.SetGlobalWarningDisplay, shown)
            sitk.ProcessObject.SetGlobalWarningDisplay(False)
            _before.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", module="pydicom")
            _turn_away()
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                _before.close()


def _turn_away() -> None:
    """Point descriptor 2, to which C libraries print, at nothing until all is restored, unless Python prints there."""
    try:
        if sys.stderr.fileno() == 2:
            return
        before = os.dup(2)
    except (AttributeError, OSError, ValueError):  # no standard error, or one without a descriptor
        return
    _before.callback(os.close, before)
    _before.callback(os.dup2, before, 2)
    with Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), 2)


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
        open_header(Path(__file__), "GDCMImageIO")
        cast = sitk.CastImageFilter()
        cast.SetNumberOfWorkUnits(1)  # no threads
        cast.Execute(sitk.Image(1, 1, sitk.sitkInt16))


_make_globals()
