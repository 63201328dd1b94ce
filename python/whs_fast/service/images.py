"""Images that MONAI Label's clients leave with the service for later runs, and labels that they save beside them.

    images/ID/owner       whose it is
    images/ID/scan/       the image
    images/ID/labels/     TAG and suffix of each label map

A client names an image as its user does, which may be after the patient: what is kept is a hash of that name.
"""

import hashlib
import os
import re
import secrets
from pathlib import Path

from whs_fast.service.queue import Queue, RefusedError


class Images:
    """The images of a service, each its owner's alone."""

    def __init__(self, queue: Queue) -> None:
        self._queue, self._root = queue, queue.root / "images"

    def add(self, owner: str, name: str, received: Path) -> str:
        """Keeps an image whose files lie in received/scan, in place of one of the same name, and returns its ID."""
        identifier = _identifier(owner, name) if name else secrets.token_hex(8)
        if not any((received / "scan").iterdir()):
            raise RefusedError(400, "form: expected a file")
        (received / "owner").write_text(owner, encoding="ascii")
        (received / "labels").mkdir()
        folder = self._root / identifier
        self._queue.discard(folder)
        received.rename(folder)
        self._queue.weigh(folder)
        return identifier

    def find(self, owner: str, name: str) -> Path:
        """The folder of an owner's image, by its ID or the name it was given. Raises RefusedError."""
        for identifier in (name, _identifier(owner, name)):
            folder = self._root / identifier
            if re.fullmatch("[0-9a-f]{16}", identifier) and _owner(folder) == owner:
                os.utime(folder)  # images are kept for a time after their last use
                return folder
        raise RefusedError(404, "there is no such image")

    def remove(self, owner: str, name: str) -> None:
        """Removes an image and its labels. Raises RefusedError."""
        self._queue.discard(self.find(owner, name))

    def all(self, owner: str) -> list[Path]:
        """The folders of an owner's images."""
        return [folder for folder in sorted(self._root.iterdir()) if _owner(folder) == owner]

    def add_label(self, folder: Path, tag: str, file: Path) -> None:
        """Keeps a label map of an image, in place of one of the same tag. Raises RefusedError."""
        if not re.fullmatch("[A-Za-z0-9_-]{1,32}", tag):
            raise RefusedError(400, "tag: expected up to 32 letters, digits, - and _")
        for earlier in labels(folder):
            if _stem(earlier) == tag:
                earlier.unlink()
        file.rename(folder / "labels" / f"{tag}{suffix(file)}")
        self._queue.weigh(folder)


def labels(folder: Path) -> list[Path]:
    """The label maps of an image."""
    return sorted((folder / "labels").iterdir())


def label(folder: Path, tag: str) -> Path:
    """The label map of a tag. Raises RefusedError."""
    for path in labels(folder):
        if _stem(path) == tag:
            return path
    raise RefusedError(404, "the image has no such label")


def suffix(path: Path) -> str:
    """What a name of ours ends with, such as .nii.gz."""
    return "".join(path.suffixes)


def _stem(path: Path) -> str:
    return path.name.partition(".")[0]


def _owner(folder: Path) -> str | None:
    try:
        return (folder / "owner").read_text(encoding="ascii")
    except OSError:
        return None


def _identifier(owner: str, name: str) -> str:
    return hashlib.sha256(f"{owner}\0{name}".encode()).hexdigest()[:16]
