"""The sources of anatomies and the one place that knows which of them drew an anatomy.

"rooted" is the parametric heart with an aortic root of cusps, sinuses and ostia; test set B was drawn without.
"""

from collections.abc import Collection

import numpy as np
import torch
from numpy.typing import NDArray

from training.heart import Anatomy, draw_anatomy, load_atlas, sample_tissues
from training.male import draw_male, load_male
from training.parametric import ParametricAnatomy, draw_parametric, draw_rooted, sample_parametric
from training.toronto import CASES, draw_toronto, load_toronto

SOURCES = ("atlas", "parametric", "toronto")  # of test sets and figures
TRAINED = ("atlas", "rooted", "toronto", "male")  # what trainings draw from
EVERY = tuple(dict.fromkeys((*SOURCES, *TRAINED)))


def load(sources: Collection[str]) -> None:
    """Read, or build at the first call, what the sources draw from, so that processes forked later share it."""
    if "atlas" in sources:
        load_atlas()
    if "toronto" in sources:
        for case in CASES:
            load_toronto(case)
    if "male" in sources:
        load_male()


def draw(source: str, rng: np.random.Generator) -> Anatomy | ParametricAnatomy:
    """A random anatomy of one of SOURCES or TRAINED; the same generator state gives the same one."""
    if source == "parametric":
        return draw_parametric(rng)
    if source == "rooted":
        return draw_rooted(rng)
    if source == "atlas":
        return draw_anatomy(rng, load_atlas())
    if source == "toronto":
        return draw_toronto(rng)
    if source == "male":
        return draw_male(rng)
    raise ValueError(f"found the source {source!r}, expected one of {', '.join(EVERY)}")


def sample(
    anatomy: Anatomy | ParametricAnatomy,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    origin_mm: tuple[float, float, float],
    direction: NDArray[np.float64] | None = None,
    *,
    rough: bool = False,
) -> torch.Tensor:
    """Tissues on a grid of patient millimetres: uint8 [z, y, x]. rough: faster and coarser, for whole thoraces."""
    if isinstance(anatomy, ParametricAnatomy):
        return sample_parametric(anatomy, shape, spacing_mm, origin_mm, direction, rough=rough)
    return sample_tissues(anatomy, shape, spacing_mm, origin_mm, direction)
