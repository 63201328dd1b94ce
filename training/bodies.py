"""Parts of the body that hold no heart: abdomen, head and thighs, of plain shapes with random sizes and contrast.

They are what a confidence must not trust (training/faults.py), and nothing learns to label them. Volumes are indexed
z, y, x; millimetres are x, y, z, LPS, from the middle of the part.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from training.artefacts import Spacing
from training.deformation import smooth_noise, torch_generator
from training.details import draw_vessels
from training.rendering import RenderingRanges, acquire

AIR_HU, GAS_HU, FAT_HU = -1000.0, -900.0, -100.0


class _Canvas:
    """HU of a part of the body, painted shape over shape at wavering places."""

    def __init__(
        self, shape: tuple[int, int, int], spacing_mm: Spacing, centre_mm: NDArray[np.float64], rng: np.random.Generator
    ) -> None:
        self.shape, self.spacing_mm, self.rng = shape, spacing_mm, rng
        self.generator = torch_generator(rng)
        self.image = torch.full(shape, AIR_HU)
        self.places = []
        for axis, (count, step, middle) in enumerate(zip(shape[::-1], spacing_mm, centre_mm, strict=True)):
            along = (torch.arange(count) - (count - 1) / 2) * step + float(middle)
            place = along.reshape([-1 if 2 - axis == a else 1 for a in range(3)])
            self.places.append(place + self.noise(45.0) * float(rng.uniform(1, 5)))

    def noise(self, node_mm: float) -> torch.Tensor:
        """Smooth noise of unit variance."""
        sides = zip(self.shape, self.spacing_mm[::-1], strict=True)
        nodes = tuple(max(2, int(np.ceil(count * step / node_mm)) + 1) for count, step in sides)
        return smooth_noise(self.shape, nodes, self.generator)[0, 0]

    def within(self, centre_mm: tuple[float, float, float], semi_mm: tuple[float, float, float]) -> torch.Tensor:
        """The voxels of an ellipsoid; a semi-axis of infinity makes it a cylinder."""
        total = torch.zeros(self.shape)
        for place, centre, semi in zip(self.places, centre_mm, semi_mm, strict=True):
            total += ((place - centre) / semi).square()
        return total < 1

    def paint(self, mask: torch.Tensor, hu: float, texture_hu: float = 0.0) -> None:
        self.image.masked_fill_(mask, hu)
        if texture_hu:
            self.image.addcmul_(mask.float(), self.noise(8.0), value=texture_hu)


def _abdomen(canvas: _Canvas) -> None:
    rng, endless = canvas.rng, float("inf")
    blood = float(rng.uniform(40, 450))
    vein = blood * float(rng.uniform(0.3, 1.0))
    wide, deep, skin = float(rng.uniform(140, 190)), float(rng.uniform(95, 130)), float(rng.uniform(8, 35))
    canvas.paint(canvas.within((0, 0, 0), (wide, deep, endless)), FAT_HU, 8)
    canvas.paint(canvas.within((0, 0, 0), (wide - skin, deep - skin, endless)), 50, 10)
    canvas.paint(canvas.within((0, -5, 0), (wide - skin - 14, deep - skin - 12, endless)), FAT_HU, 15)
    canvas.paint(canvas.within((-60, -5, 60), (90, 80, 95)), float(rng.uniform(50, 160)), 10)  # liver
    canvas.paint(canvas.within((95, 35, 70), (30, 40, 55)), float(rng.uniform(50, 180)), 8)  # spleen
    canvas.paint(canvas.within((70, -35, 75), (45, 40, 50)), float(rng.uniform(-10, 120)))  # stomach
    canvas.paint(canvas.within((70, -55, 80), (35, 20, 40)), GAS_HU)
    bowel = canvas.noise(float(rng.uniform(14, 24)))
    loops = canvas.within((0, -30, -80), (wide - skin - 20, 60, 120)) & (bowel.abs() < 0.6)
    canvas.paint(loops, 40, 20)
    canvas.paint(loops & (bowel > 0.25), GAS_HU)
    for side in (-1, 1):
        canvas.paint(canvas.within((58 * side, 45, -5), (27, 25, 55)), float(rng.uniform(30, 0.5 * blood + 60)), 15)
        canvas.paint(canvas.within((38 * side, 62, 0), (22, 22, endless)), 55, 8)  # psoas and the back's muscles
        canvas.paint(canvas.within((40 * side, 85, 0), (35, 22, endless)), 55, 8)
    canvas.paint(canvas.within((0, 62, 0), (24, 20, endless)), float(rng.uniform(100, 300)), 60)
    canvas.paint(canvas.within((0, 85, 0), (9, 8, endless)), 30)
    canvas.paint(canvas.within((8, 35, 0), (float(rng.uniform(8, 14)),) * 2 + (endless,)), blood, 6)
    canvas.paint(canvas.within((-22, 33, 0), (12, 9, endless)), vein, 10)
    canvas.paint(canvas.within((-5, 10, 40), (40, 7, 7)), vein)


def _head(canvas: _Canvas) -> None:
    rng, endless = canvas.rng, float("inf")
    blood = float(rng.uniform(40, 500))
    canvas.paint(canvas.within((0, 25, -80), (60, 62, endless)) & (canvas.places[2] < 0), 55, 12)  # neck and face
    canvas.paint(canvas.within((0, -45, -45), (55, 55, 60)), 30, 40)
    canvas.paint(canvas.within((0, 50, -80), (14, 14, endless)) & (canvas.places[2] < -20), 350, 60)  # spine
    canvas.paint(canvas.within((0, 5, -110), (9, 9, 90)), GAS_HU)  # airway
    for side in (-1, 1):
        canvas.paint(canvas.within((28 * side, 15, -110), (5, 5, 85)), blood)  # carotids
        canvas.paint(canvas.within((35 * side, 22, -110), (7, 7, 85)), 0.6 * blood)  # jugular veins
        canvas.paint(canvas.within((25 * side, -50, -45), (15, 17, 17)), GAS_HU)  # sinuses
    size = float(rng.uniform(0.92, 1.08))
    skull = float(rng.uniform(5, 9))
    for less, hu, texture in ((0.0, 20, 20), (6.0, float(rng.uniform(700, 1300)), 150), (6 + skull, 33, 5)):
        canvas.paint(canvas.within((0, 5, 25), (78 * size - less, 97 * size - less, 85 * size - less)), hu, texture)
    for side in (-1, 1):
        canvas.paint(canvas.within((14 * side, 0, 30), (9, 35, 12)), 6)  # ventricles
    brain = canvas.within((0, 5, 25), (65, 84, 70))
    draw_vessels(canvas.image, brain, float(rng.uniform(1, 2.5)), blood, canvas.spacing_mm, canvas.generator)


def _thighs(canvas: _Canvas) -> None:
    rng, endless = canvas.rng, float("inf")
    blood, thick = float(rng.uniform(40, 450)), float(rng.uniform(65, 95))
    fat = float(rng.uniform(6, 25))
    for side in (-1, 1):
        x = side * (thick + float(rng.uniform(2, 12)))
        canvas.paint(canvas.within((x, 0, 0), (thick, thick * 1.1, endless)), FAT_HU, 8)
        muscle = canvas.within((x, 0, 0), (thick - fat, thick * 1.1 - fat, endless))
        canvas.paint(muscle, 55, 10)
        canvas.paint(muscle & (canvas.noise(20.0).abs() < 0.12), FAT_HU)  # between the muscles
        canvas.paint(canvas.within((x, -8, 0), (15, 15, endless)), float(rng.uniform(900, 1400)))
        canvas.paint(canvas.within((x, -8, 0), (9, 9, endless)), float(rng.uniform(-80, 50)))
        canvas.paint(canvas.within((x - 25 * side, -12, 0), (4.5, 4.5, endless)), blood)
        canvas.paint(canvas.within((x - 28 * side, -4, 0), (6, 5, endless)), 0.7 * blood)


PARTS: dict[str, Callable[[_Canvas], None]] = {"abdomen": _abdomen, "head": _head, "legs": _thighs}


def draw_part(
    part: str, shape: tuple[int, int, int], spacing_mm: Spacing, rng: np.random.Generator
) -> NDArray[np.int16]:
    """HU of a scan of one of PARTS around a random point near its middle: int16 [z, y, x]."""
    canvas = _Canvas(shape, spacing_mm, rng.uniform(-1, 1, 3) * np.array([35.0, 25.0, 60.0]), rng)
    PARTS[part](canvas)
    image = acquire(canvas.image, spacing_mm, rng, canvas.generator, RenderingRanges())
    return np.asarray(image.round().clamp(-1024, 3071).to(torch.int16).numpy())
