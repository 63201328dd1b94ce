"""The one way into SimpleITK's file readers: headers, and nothing printed.

The toolkit and the libraries below it write warnings straight to the terminal; what matters in them is checked and
said by `whs_fast.reading` in its own words.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import SimpleITK as sitk

_lock = threading.Lock()
_depth = 0
_shown_before = False


@contextmanager
def silence() -> Iterator[None]:
    """Keep SimpleITK's warnings off the terminal.

    The setting is global, so the last of nested or parallel users restores it.
    """
    global _depth, _shown_before
    with _lock:
        if _depth == 0:
            _shown_before = sitk.ProcessObject.GetGlobalWarningDisplay()
            sitk.ProcessObject.SetGlobalWarningDisplay(False)
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                sitk.ProcessObject.SetGlobalWarningDisplay(_shown_before)


def open_header(path: Path, image_io: str, *, private: bool = False) -> sitk.ImageFileReader | None:
    """A reader that has read the header of a file, private tags too if wanted; None where the toolkit cannot."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(str(path))
    reader.SetLoadPrivateTags(private)
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return None
    return reader
