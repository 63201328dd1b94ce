"""The Visible Human Male's heart in a drawn thorax: a source of anatomies for training (anatomy/male, CC BY 4.0).

`python -m training.male` builds it, which also happens where it is first asked for.
"""

from functools import cache
from pathlib import Path

import numpy as np

from training.heart import Anatomy, AnatomyRanges, Atlas, draw_anatomy
from training.placed_heart import load

FILE = Path(__file__).parent / "anatomy" / "male" / "male.nii.gz"
NUMBER = 4  # after the four of toronto.py


@cache
def load_male() -> tuple[Atlas, AnatomyRanges]:
    """Its atlas and how far it is deformed."""
    return load(FILE, NUMBER)


def draw_male(rng: np.random.Generator) -> Anatomy:
    """A random anatomy; the same generator state gives the same one."""
    return draw_anatomy(rng, *load_male())


if __name__ == "__main__":
    load_male()
