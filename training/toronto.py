"""Hearts of real adults in drawn thoraces: the third source of anatomies (anatomy/toronto, CC BY 4.0).

`python -m training.toronto` builds all four, which also happens where they are first asked for.
"""

from functools import cache
from pathlib import Path

import numpy as np

from training.heart import Anatomy, AnatomyRanges, Atlas, draw_anatomy
from training.placed_heart import load

FOLDER = Path(__file__).parent / "anatomy" / "toronto"
CASES = ("regular", "case14", "case15", "case16_marfan")


@cache
def load_toronto(case: str) -> tuple[Atlas, AnatomyRanges]:
    """The atlas of a case and how far it is deformed."""
    return load(FOLDER / f"{case}.nii.gz", CASES.index(case))


def draw_toronto(rng: np.random.Generator) -> Anatomy:
    """A random anatomy of one of the hearts; the same generator state gives the same one."""
    return draw_anatomy(rng, *load_toronto(CASES[int(rng.integers(len(CASES)))]))


if __name__ == "__main__":
    for name in CASES:
        load_toronto(name)
