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
    """Puts guarded streams in the place of sys.stdout and sys.stderr, and returns the former."""
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
    sys.stderr = _text(Guarded(2, "w", closefd=False), sys.stderr)
    return output


def _text(stream: Guarded, before: TextIO | None) -> io.TextIOWrapper:
    encoding = "utf-8" if before is None else before.encoding
    errors = "backslashreplace" if before is None else before.errors
    return io.TextIOWrapper(io.BufferedWriter(stream), encoding=encoding, errors=errors, line_buffering=True)
