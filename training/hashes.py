"""The list of hashes by which the engine knows the models of its installation."""

from pathlib import Path

from whs_fast.networks.installed import hash_files


def list_hashes(folder: Path) -> None:
    """Writes FOLDER/SHA256SUMS for all models in it, as `sha256sum *.xml *.bin confidence.json` would."""
    files = sorted(file for file in folder.iterdir() if file.suffix in (".xml", ".bin") or file.stem == "confidence")
    lines = [f"{hash_files([file])}  {file.name}\n" for file in files]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
