"""The two errors a caller is expected to catch.

Both carry one line that names the file, what was found and what was expected; neither ever holds a patient's name,
identifier or date. Control characters and bytes that are no text, which a damaged header holds, are question marks.
"""


def one_line(text: str) -> str:
    """Text with question marks for what no terminal can show."""
    return "".join(character if character.isprintable() else "?" for character in text)


class InputError(ValueError):
    """The scan or an option given by the caller cannot be used (exit status 2)."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class OutputError(OSError):
    """Results cannot be written: no permission, no space, not a folder (exit status 3)."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class ModelError(RuntimeError):
    """A model file of the installation is missing or cannot be run: a fault of ours, not of the input."""
