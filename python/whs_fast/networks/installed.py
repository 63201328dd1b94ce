"""The models that were installed with the package: where they lie, what they hash to, and how well they did."""

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from whs_fast.errors import ModelError

_INSTALLED = Path(str(resources.files("whs_fast") / "models"))
_CALIBRATION = "confidence.json"
_LIST = "SHA256SUMS"  # in the form of sha256sum, written by the exports of training


def models_folder() -> Path:
    """Folder of the models that were installed with the package."""
    return _INSTALLED


def check_installed(files: Sequence[Path]) -> str:
    """Hexadecimal SHA-256 of the content of a model's files, one after the other, each read and checked once.

    Models of the installation must be those that were installed; a folder of somebody's own has no list. Raises
    ModelError for a file that the list lacks or whose content it does not name.
    """
    joined = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        joined.update(content)
        if file.parent == _INSTALLED:
            listed = _listed(_INSTALLED / _LIST).get(file.name)
            if hashlib.sha256(content).hexdigest() != listed:
                raise ModelError(
                    f"{file}: not the file that was installed, by its hash in {_LIST}; install whs_fast again"
                )
    return joined.hexdigest()


@cache
def _listed(file: Path) -> dict[str, str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: cannot be read, and without it no model runs; install whs_fast again") from error
    return {name.strip(): sha256 for sha256, _, name in (line.partition(" ") for line in lines)}


def describe_models(folder: Path) -> dict[str, dict[str, Any]]:
    """Each network with its files' hashes, computed now, and its scores: {network: {"sha256": {file: ...}, "scores"}}.

    The scores are those of models.json in the folder, {network: {score: value}}, whose networks are looked for. Raises
    ModelError where it cannot be read.
    """
    file = folder / "models.json"
    try:
        scores: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: cannot be read; install whs_fast again") from error
    return {
        network: {
            "sha256": {path.stem: hash_files(ir_files(path)) for path in sorted(folder.glob(f"{network}*.xml"))},
            "scores": scores[network],
        }
        for network in scores
    }


def hash_calibration_file(folder: Path) -> str:
    """Hexadecimal SHA-256 of confidence.json in a folder of models; "" where there is none, as one's own may lack it.

    Raises ModelError as check_installed does.
    """
    file = folder / _CALIBRATION
    return check_installed([file]) if file.exists() else ""


def read_calibration_file(folder: Path) -> dict[str, Any] | None:
    """The content of confidence.json in a folder of models; None where there is none.

    Raises ModelError where it is damaged.
    """
    if not hash_calibration_file(folder):
        return None
    file = folder / _CALIBRATION
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: cannot be read") from error
    return content


def ir_files(path_xml: Path) -> tuple[Path, Path]:
    """The file pair of a model: graph (.xml) and weights (.bin). Raises ModelError where one is missing."""
    files = (path_xml, path_xml.with_suffix(".bin"))
    for file in files:
        if not file.is_file():
            raise ModelError(f"{file}: no such model file")
    return files


def hash_files(files: Sequence[Path]) -> str:
    """Hexadecimal SHA-256 of the content of files, one after the other."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
