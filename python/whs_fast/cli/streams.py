"""Standard output and standard error whose loss ends no command.

A pipe that is closed, a full disk or a terminal that is gone must not cost the results that a command is computing.
"""

import io
import os
import sys
from typing import TextIO


class Guarded(io.FileIO):
    """A stream of this process. Where it cannot be written, what follows is dropped as if it had been."""

    _lost: OSError | None = None

    def write(self, data: object, /) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        if self._lost is None:
            try:
                return super().write(view)
            except OSError as error:
                self._lost = error
        return view.nbytes

    def failure(self) -> str:
        """Why something was lost that somebody still wanted to read; empty where nothing was."""
        if self._lost is None or isinstance(self._lost, ConnectionError):
            return ""
        return self._lost.strerror or "unknown error"


def guard() -> Guarded:
    """Puts guarded streams in the place of sys.stdout and sys.stderr, and returns the former.

    sys.stderr writes to a descriptor of its own, so that reading can turn away what C libraries print to descriptor 2
    (`whs_fast.reading.itk`); not where WHS_FAST_DEBUG=1 asks for all that there is.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Closed by whoever started us. The next file that is opened would take its place and receive what is
            # printed.
            os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(number, True)
    output = Guarded(1, "w", closefd=False)
    sys.stdout = _text(output, sys.stdout)
    errors = 2 if os.environ.get("WHS_FAST_DEBUG") == "1" else os.dup(2)
    sys.stderr = _text(Guarded(errors, "w", closefd=False), sys.stderr)
    return output


def _text(stream: Guarded, before: TextIO | None) -> io.TextIOWrapper:
    encoding = "utf-8" if before is None else before.encoding
    errors = "backslashreplace" if before is None else before.errors
    return io.TextIOWrapper(io.BufferedWriter(stream), encoding=encoding, errors=errors, line_buffering=True)
