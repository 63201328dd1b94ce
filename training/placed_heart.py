"""A heart's label map, set into a drawn thorax: what the hearts of patients have in common (toronto.py, male.py).

A label map becomes signed distances; vessels are continued where it ends, a coronary sinus is drawn where there is
none, and the thorax of the parametric source is drawn around it. The result is an atlas like the other (heart.py), so
the same flows and moving walls make a population of it. Millimetres are x, y, z in LPS from the centre of the aortic
valve.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage

from training.deformation import PLACES, ShapeRanges
from training.heart import (
    AO,
    ARTERIES,
    CS,
    LA,
    LVC,
    LVM,
    PA,
    PV,
    RA,
    RVC,
    SVC,
    VEINS,
    WALL,
    AnatomyRanges,
    Atlas,
    kept,
    load_atlas,
)
from training.parametric_shapes import FAR_MM, Lattice, Tube, Vector, carve, tube
from training.parametric_thorax import Room, draw_thorax, thorax_fields
from training.placed_vessels import Case, coronary_sinus, vec, vessels
from training.variants import VariantRanges

BUILDING_SEED = 20261126  # of the thoraces and continued vessels, a number of its own
LOW_MM, HIGH_MM = np.array([-170.0, -125.0, -165.0]), np.array([170.0, 150.0, 165.0])
SLAB = 24  # slices filled at a time
PAD_MM = 24.0  # distances are known this far around the heart
BLOOD = {"aorta": AO, "lv": LVC, "la": LA, "rv": RVC, "ra": RA, "pa": PA, "svc": SVC, "pv": PV, "cs": CS,
         "veins": VEINS, "arteries": ARTERIES}  # fmt: skip


def read(file: Path) -> Case:
    import SimpleITK as sitk  # not where a GPU is and the kept file suffices

    image = sitk.ReadImage(str(file))
    labels = sitk.GetArrayFromImage(image)
    step = float(image.GetSpacing()[0])
    valve = np.argwhere(ndimage.binary_dilation(labels == LVC) & (labels == AO)).mean(0)[::-1] * step
    return Case(labels, step, -valve)


def _signed(mask: NDArray[np.bool_], step_mm: float) -> NDArray[np.float32]:
    """Distance to the surface of a mask, negative inside, mm."""
    inside, outside = ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask)
    return np.asarray((np.where(mask, 0.5 - inside, outside - 0.5) * step_mm).clip(-FAR_MM, FAR_MM), np.float32)


def _landmarks(atlas: Atlas) -> Vector:
    """Middles of chambers and of what joins them, from the valve, the same in every heart: [n, 3]."""
    case = Case(atlas.tissues[::2, ::2, ::2].numpy(), 2.0, atlas.origin_mm - atlas.valve_mm)
    joints = [case.interface(*pair).mean(0) for pair in ((LVC, AO), (LA, LVC), (RA, RVC), (RVC, PA), (SVC, RA))]
    return np.array([*joints, *(case.points(case.labels == label).mean(0) for label in (LVC, LA, RA, RVC, LVM))])


@dataclass(frozen=True)
class _Fields:
    """Signed distances of a heart's parts around it, float32 [z, y, x] at its own step, and what is added, as tubes."""

    distances: Mapping[str, torch.Tensor]
    low_mm: Vector
    step_mm: float
    tubes: Mapping[str, list[Tube]]

    def on(self, lattice: Lattice) -> dict[str, torch.Tensor]:
        fields = {}
        axes = []
        for i in range(3):
            size = next(iter(self.distances.values())).shape[2 - i]
            axes.append((lattice.axis(i).flatten() - float(self.low_mm[i])) / self.step_mm / (size - 1) * 2 - 1)
        z, y, x = torch.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
        grid = torch.stack([x, y, z], -1)[None]
        for name, distance in self.distances.items():
            fields[name] = F.grid_sample(distance[None, None], grid, padding_mode="border", align_corners=True)[0, 0]
        heart = dict(fields)
        for name, own in self.tubes.items():
            added = tube(lattice, *own)
            for other, field in heart.items():
                joined = {
                    "pv": ("la",),
                    "cs": ("ra", "la"),
                    "veins": ("ra", "svc"),
                    "svc": ("ra",),
                    "arteries": ("aorta",),
                }
                if other not in (name, "wall") and other not in joined.get(name, ()):
                    added = carve(added, field, 0.6 if name in ("veins", "arteries") else 1.2)
            fields[name] = torch.minimum(fields[name], added)
        fields["la"] = carve(fields["la"], fields["cs"], 1.0)
        return fields


def fields_of(case: Case, rng: np.random.Generator) -> _Fields:
    pad = int(np.ceil(PAD_MM / case.step_mm))
    labels = np.pad(case.labels, pad)
    low = case.origin_mm - pad * case.step_mm
    masks = {name: labels == label for name, label in BLOOD.items()}
    masks |= {"filled_lv": (labels == LVC) | (labels == LVM), "wall": labels == WALL}
    distances = {name: _signed(mask, case.step_mm) for name, mask in masks.items() if mask.any()}
    tubes = vessels(case, rng)
    if "cs" not in distances:
        distances["cs"] = np.full(labels.shape, FAR_MM, np.float32)
        tubes["cs"] = [coronary_sinus(case, distances, low, rng)]
    tensors = {name: torch.from_numpy(distance) for name, distance in distances.items()}
    return _Fields(tensors, low, case.step_mm, tubes)


def _room(case: Case) -> Room:
    outer = case.points(np.isin(case.labels, (LVM, RVC, RA)))
    atrium = case.points(case.labels == LA)
    return Room(outer.min(0) - 3, outer.max(0) + 3, float(atrium[:, 1].max()),
                float(case.points(case.labels == RA)[:, 0].mean()))  # fmt: skip


def build(heart: Case, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Tissues of a heart in its thorax at 1 mm from LOW_MM to HIGH_MM: uint8 [z, y, x]. Takes minutes."""
    thorax = draw_thorax(_room(heart), rng)
    rv_wall = float(rng.uniform(2.5, 4.0))
    parts = fields_of(heart, rng)
    width, height, depth = (int(n) for n in HIGH_MM - LOW_MM)
    slabs = []
    for first in range(0, depth, SLAB):
        x, y, z = (float(v) for v in LOW_MM + vec(0, 0, first))
        lattice = Lattice((x, y, z), (min(SLAB, depth - first), height, width), 1.0)
        fields = parts.on(lattice)
        deepest, tissues = torch.zeros(lattice.shape), torch.zeros(lattice.shape, dtype=torch.uint8)
        for name, label in BLOOD.items():
            tissues.masked_fill_(fields[name] < deepest, label)
            torch.minimum(deepest, fields[name], out=deepest)
        others = thorax_fields(thorax, rv_wall, lattice, fields)
        for label, field in [(LVM, fields["filled_lv"]), (WALL, fields["wall"]), *others]:
            tissues.masked_fill_((tissues == 0) & (field < 0), label)
        slabs.append(tissues)
    return torch.cat(slabs).numpy()


def load(file: Path, number: int) -> tuple[Atlas, AnatomyRanges]:
    """The atlas of a label map, built at the first call and kept under its name, and how far it is deformed.

    number: of the heart, which its drawn thorax and vessels follow from.
    """
    name = file.name.removesuffix(".nii.gz")
    rng = np.random.default_rng([BUILDING_SEED, number])
    atlas = kept(name, lambda: (build(read(file), rng), LOW_MM, np.zeros(3)))
    from_here, to_there = _landmarks(load_atlas()), _landmarks(atlas)
    affine = np.linalg.lstsq(np.c_[from_here, np.ones(len(from_here))], to_there, rcond=None)[0]
    places = {}
    for region, place in PLACES.items():
        x, y, z = (float(v) for v in np.array([*place.centre_mm, 1.0]) @ affine)
        places[region] = replace(place, centre_mm=(x, y, z))
    variants = VariantRanges(hidden_vein=0, common_left_trunk=0, middle_vein=0, papillary=0)
    return atlas, AnatomyRanges(shape=ShapeRanges(strength=(0.3, 0.95), places=places), variants=variants)
