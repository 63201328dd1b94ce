"""The three errors that a caller may want to catch.

Each carries one line that names the file or option, says what is wrong with it and what is needed. None ever holds a
patient's name, identifier or date. Control characters, and bytes that are no text, become question marks.
"""


def one_line(text: str) -> str:
    """Text with question marks for what no terminal can show."""
    return "".join(character if character.isprintable() else "?" for character in text)


class InputError(ValueError):
    """The scan, or an option given by the caller, cannot be used (exit status 2)."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class OutputError(OSError):
    """Results cannot be written: no permission, no space, or not a folder (exit status 3)."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class ModelError(RuntimeError):
    """A model file of the installation is missing or damaged: the input is not to blame (exit status 1)."""
