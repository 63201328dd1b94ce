"""The three errors that a caller may want to catch.

Each carries one line that names the file or option, says what is wrong with it and what is needed. None ever holds a
patient's name, identifier or date.
"""


class InputError(ValueError):
    """The scan, or an option given by the caller, cannot be used (exit status 2)."""


class OutputError(OSError):
    """Results cannot be written: no permission, no space, or not a folder (exit status 3)."""


class ModelError(RuntimeError):
    """A model file of the installation is missing or damaged: the input is not to blame (exit status 1)."""
