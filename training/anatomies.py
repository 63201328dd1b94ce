"""The sources of anatomies and the one place that knows which of them drew an anatomy."""

import numpy as np
import torch
from numpy.typing import NDArray

from training.heart import Anatomy, draw_anatomy, load_atlas, sample_tissues
from training.parametric import ParametricAnatomy, draw_parametric, sample_parametric

SOURCES = ("atlas", "parametric")


def draw(source: str, rng: np.random.Generator) -> Anatomy | ParametricAnatomy:
    """A random anatomy of one of SOURCES; the same generator state gives the same one."""
    if source == "parametric":
        return draw_parametric(rng)
    if source == "atlas":
        return draw_anatomy(rng, load_atlas())
    raise ValueError(f"found the source {source!r}, expected one of {', '.join(SOURCES)}")


def sample(
    anatomy: Anatomy | ParametricAnatomy,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    origin_mm: tuple[float, float, float],
    direction: NDArray[np.float64] | None = None,
) -> torch.Tensor:
    """Tissues on a grid of patient millimetres: uint8 [z, y, x]."""
    sampler = sample_parametric if isinstance(anatomy, ParametricAnatomy) else sample_tissues
    return sampler(anatomy, shape, spacing_mm, origin_mm, direction)  # type: ignore[arg-type]
