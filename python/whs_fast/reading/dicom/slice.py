"""What the header of one image, or of one frame of a multi-frame file, says: tags as text, turned into numbers once."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from whs_fast.reading.dicom.clues import Clues, find_clues
from whs_fast.reading.dicom.texts import cut, says_contrast, says_heart

if TYPE_CHECKING:
    from whs_fast.reading.dicom.enhanced import MultiFrame

CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
# Enhanced CT, and classic series converted to it.
ENHANCED_STORAGE = (CT_STORAGE + ".1", CT_STORAGE + ".2")
# Values of Image Type of pictures that come with a scan and are no slices of it.
_NO_SLICES = {"LOCALIZER", "SCREEN SAVE", "SCREENSHOT", "DOSE", "DOSE_INFO", "DOSE REPORT"}
_REFORMATTED = {"MPR", "MIP", "MINIP", "AVERAGE", "VRT", "PROJECTION IMAGE", "REFORMATTED", "CPR"}


@dataclass(frozen=True)
class Slice:
    """What the header of one image, or of one frame of a multi-frame file, says.

    frame counts from 1, and file is the enhanced file that holds it, if one does; size is (columns, rows), spacing_mm
    (x, y) between voxels of the image, cosines those of its row and column, LPS. placed says whether position,
    orientation and pixel spacing are there. extra marks localisers, secondary captures, dose sheets and colour
    pictures. contrast and cardiac are what words and gating tell, contrast None where they tell nothing. stored are the
    number of bits stored, the highest of them and whether they are signed; rescale is slope and intercept, None where
    neither is there.
    """

    path: Path
    frame: int
    file: "MultiFrame | None"
    frames: int
    series: str
    study: str
    instance: str
    number: int
    modality: str
    description: str
    kernel: str
    acquired: str
    reference: str
    extra: bool
    reformatted: bool
    contrast: bool | None
    cardiac: bool
    placed: bool
    size: tuple[int, int]
    spacing_mm: tuple[float, float]
    position: tuple[float, ...]
    cosines: tuple[float, ...]
    tilt_degrees: float
    stored: tuple[int, int, bool]
    rescale: tuple[float, float] | None
    clues: Clues


def describe(
    path: Path,
    tag: Callable[[str], str],
    *,
    size: tuple[int, int],
    frames: int,
    colour: bool,
    frame: int = 1,
    file: "MultiFrame | None" = None,
) -> Slice:
    """A Slice from its tags, given as text by `tag("gggg|eeee")`, empty where there is none."""
    position, cosines, spacing = numbers(tag("0020|0032")), numbers(tag("0020|0037")), numbers(tag("0028|0030"))
    slope, intercept = numbers(tag("0028|1053")), numbers(tag("0028|1052"))
    placed = len(position) == 3 and len(cosines) == 6 and len(spacing) == 2
    kinds = {kind.strip() for kind in tag("0008|0008").upper().split("\\")}
    description = cut(tag("0008|103e"))
    clues = find_clues(tag)
    return Slice(
        path=path,
        frame=frame,
        file=file,
        frames=frames,
        series=tag("0020|000e"),
        study=tag("0020|000d"),
        instance=tag("0008|0018"),
        number=_integer(tag("0020|0011"), 0),
        modality=tag("0008|0060"),
        description=description,
        kernel=tag("0018|1210"),
        acquired=tag("0008|002a") or tag("0018|9074") or tag("0008|0032"),
        reference=tag("0020|0052"),
        extra=colour or bool(kinds & _NO_SLICES) or tag("0008|0016") not in ("", CT_STORAGE, *ENHANCED_STORAGE),
        reformatted=bool(kinds & _REFORMATTED) or {"DERIVED", "SECONDARY"} <= kinds,
        contrast=says_contrast(description, tag("0018|0010")),
        cardiac=bool(clues.gated) or says_heart(description, tag("0018|0015"), tag("0018|1030")),
        placed=placed,
        size=size,
        # Pixel Spacing is between rows, then between columns.
        spacing_mm=(spacing[1], spacing[0]) if placed else (0.0, 0.0),
        position=position,
        cosines=cosines,
        tilt_degrees=next(iter(numbers(tag("0018|1120"))), 0.0),
        stored=(_integer(tag("0028|0101"), 16), _integer(tag("0028|0102"), 15), _integer(tag("0028|0103"), 0) == 1),
        rescale=(next(iter(slope), 1.0), next(iter(intercept), 0.0)) if slope or intercept else None,
        clues=clues,
    )


def _integer(text: str, otherwise: int) -> int:
    found = numbers(text)
    return int(found[0]) if found else otherwise


def numbers(text: str) -> tuple[float, ...]:
    """The numbers of a multi-valued tag; none where one of them is not finite."""
    try:
        values = tuple(float(word) for word in text.split("\\"))
    except ValueError:
        return ()
    return values if np.isfinite(values).all() else ()
