"""The two errors a caller is expected to catch.

Both carry one line that names the file, what was found and what was expected; neither ever holds a patient's name,
identifier or date.
"""


class InputError(ValueError):
    """The scan or an option given by the caller cannot be used (exit status 2)."""


class OutputError(OSError):
    """Results cannot be written: no permission, no space, not a folder (exit status 3)."""


class ModelError(RuntimeError):
    """A model file of the installation is missing or cannot be run: a fault of ours, not of the input."""
