"""The label map of the Visible Human Male's heart, from meshes of the Human Reference Atlas (anatomy/male, CC BY 4.0).

`python -m training.male_labels MESHES` writes it; MESHES holds VH_M_Heart.glb and VH_M_Blood_Vasculature_Heart.glb. It
is a heart after death: its walls become thinner, its left atrium, left ventricle and vessels wider, and its chambers
meet at planes through their annuli. Millimetres are x, y, z in LPS, arrays indexed z, y, x.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, spatial

from training.heart import AO, ARTERIES, CS, LA, LVC, LVM, PA, PV, RA, RVC, SVC, VEINS, WALL
from training.male import FILE
from training.parametric_shapes import Vector
from training.shells import LOW_MM, SHAPE, STEP_MM, Mask, box_of, cavity, sample_surface, solid, voxels_of

TO_LPS_MM = np.array([[1000.0, 0, 0], [0, 0, -1000.0], [0, 1000.0, 0]])  # from metres: x left, y head, z front
# Where the body grows to living size, before anything is voxelised: centre, reach (sd) and growth at the centre.
GROWTHS = (((5.0, -6.0, 492.0), 30.0, 0.34),)  # the left atrium, and what lies on it
WALL_MM = {LA: 2.0, RA: 2.4, RVC: 3.2}  # what is left of the walls after death, which are thicker
CAVITY_ML = 78.0  # of the left ventricle
CALIBRE_MM = {AO: 2.4, PA: 1.6, PV: 1.0, SVC: 0.4, CS: 0.0, VEINS: 0.5, ARTERIES: 1.0}  # added to radii
JOINTS = ((PV, LA), (LA, LVC), (LVC, AO), (CS, RA), (SVC, RA), (VEINS, RA), (RA, RVC), (RVC, PA), (VEINS, CS),
          (ARTERIES, AO))  # fmt: skip
MOUTHS, MOUTH_MM = ((PV, LA), (CS, RA), (SVC, RA), (VEINS, RA)), 3.5  # vessels open where they are as near as this
GAP_MM, SEPTUM_MM = 1.7, 6.0  # between pools that do not join, and between the ventricles
CORONARIES = ("left_coronary_artery", "right_coronary_artery", "left_anterior_descending_artery",
              "right_posterior_descending_artery", "right_marginal_artery", "left_marginal_branch",
              "diagonal_branch_of_left_anterior_descending_artery")  # fmt: skip
ARCH_BRANCHES = tuple(f"{name}_artery_{part}" for part in "ab"
                      for name in ("brachiocephalic", "left_common_carotid", "left_subclavian"))  # fmt: skip


def read_meshes(folder: Path) -> dict[str, Vector]:
    """Name to triangles [n, 3 corners, 3] in mm, grown to living size."""
    import trimesh

    found = {}
    for file in ("VH_M_Heart.glb", "VH_M_Blood_Vasculature_Heart.glb"):
        scene = trimesh.load(folder / file, process=False)
        for node in scene.graph.nodes_geometry:
            matrix, name = scene.graph[node]
            mesh = scene.geometry[name]
            points = (np.asarray(mesh.vertices) @ matrix[:3, :3].T + matrix[:3, 3]) @ TO_LPS_MM.T
            found[node.removeprefix("VH_M_").removeprefix("heart_")] = _grown(points)[np.asarray(mesh.faces)]
    return found


def _grown(points: Vector) -> Vector:
    for centre, reach, growth in GROWTHS:
        away = points - np.array(centre)
        fade = np.exp(-0.5 * (away**2).sum(-1, keepdims=True) / reach**2)
        points = points + growth * fade * away
    return points


def distance(mask: Mask, reach_mm: float = 12.0) -> NDArray[np.float32]:
    """Signed distance to a mask's surface in mm, negative inside; `reach_mm` where it is farther outside."""
    out = np.full(SHAPE, reach_mm, np.float32)
    box = _around(mask, int(reach_mm / STEP_MM) + 1)
    part = mask[box]
    away = ndimage.distance_transform_edt(~part) - 0.5
    out[box] = STEP_MM * np.where(part, 0.5 - ndimage.distance_transform_edt(part), away)
    return out


def _around(mask: Mask, pad: int) -> tuple[slice, ...]:
    found = ndimage.find_objects(mask.astype(np.uint8))[0]
    return tuple(slice(max(0, s.start - pad), s.stop + pad) for s in found)


def filled(mask: Mask) -> Mask:
    return np.asarray(ndimage.binary_fill_holes(mask))


def smooth(mask: Mask, sd_mm: float = 0.9) -> Mask:
    box = _around(mask, 6)
    out = np.zeros_like(mask)
    out[box] = ndimage.gaussian_filter(mask[box].astype(np.float32), sd_mm / STEP_MM) > 0.5
    return out


def largest(mask: Mask) -> Mask:
    pieces, _ = ndimage.label(mask)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray(pieces == sizes.argmax())


def grow_to(mask: Mask, target_ml: float, room: Mask) -> Mask:
    """The mask, grown evenly into `room` until it has its volume, or as far as it goes in 8 mm."""
    away = np.where(room, distance(mask), 99)
    needed = int((target_ml * 1000 / STEP_MM**3) - mask.sum())
    free = np.sort(away[~mask & (away < 8)])
    return mask | (away <= free[min(max(needed, 0), len(free) - 1)]) if needed > 0 else mask


def height(centre: Vector, axis: Vector) -> NDArray[np.float64]:
    """Height of each voxel above a plane."""
    along = [a * (LOW_MM[i] + STEP_MM * np.arange(SHAPE[2 - i]) - centre[i]) for i, a in enumerate(axis)]
    return np.asarray(along[2][:, None, None] + along[1][None, :, None] + along[0][None, None, :])


def hull(points: Vector) -> Mask:
    out = np.zeros(SHAPE, bool)
    box = box_of(points, 1)
    grid = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in box), indexing="ij"), -1)[..., ::-1]
    out[box] = spatial.Delaunay(points).find_simplex(grid * STEP_MM + LOW_MM) >= 0
    return out


def annulus(valve: Vector, one: Vector, other: Vector) -> tuple[Vector, Vector, float]:
    """Centre, axis towards `other` and radius of the ring where a valve is fixed to the walls of two chambers."""
    points = np.unique(valve.reshape(-1, 3), axis=0)
    near = [spatial.cKDTree(wall.reshape(-1, 3)).query(points)[0] for wall in (one, other)]
    ring = points[np.max(near, axis=0) < 3.5]
    centre = ring.mean(0)
    axis = np.linalg.svd(ring - centre, full_matrices=False)[2][2]
    axis = axis * np.sign(axis @ (other.mean((0, 1)) - one.mean((0, 1))))
    return centre, axis, float(np.linalg.norm(ring - centre, axis=1).max())


def root(valve: Vector, vessel: Vector) -> tuple[Vector, Vector, float]:
    """Centre, axis and radius of the lower end of an arterial valve."""
    points, beyond = valve.reshape(-1, 3), vessel.reshape(-1, 3)
    middle = points.mean(0)
    beyond = beyond[np.linalg.norm(beyond - middle, axis=1) < 24]
    axis = (beyond.mean(0) - middle) / np.linalg.norm(beyond.mean(0) - middle)
    low = np.quantile(points @ axis, 0.05)
    ring = points[points @ axis < low + 2]
    return ring.mean(0), axis, float(np.linalg.norm(ring - ring.mean(0), axis=1).max())


def join(one: Mask, other: Mask, between: Mask, ring: tuple[Vector, Vector, float]) -> tuple[Mask, Mask]:
    """Two pools, smooth and parted by the plane of the valve between them."""
    centre, axis, radius = ring
    both = smooth(one | other | between)
    above = height(centre, axis)
    z, y, x = np.ogrid[tuple(slice(n) for n in SHAPE)]
    there = (centre - LOW_MM) / STEP_MM
    near = (z - there[2]) ** 2 + (y - there[1]) ** 2 + (x - there[0]) ** 2 < ((radius + 5) / STEP_MM) ** 2
    mine = np.where(near, above < 0, distance(one) < distance(other))
    return filled(largest(both & mine)), filled(largest(both & ~mine))


def raw(part: dict[str, Vector]) -> tuple[dict[int, Mask], dict[int, Mask]]:
    """Blood of each pool as the meshes have it, and the tissue of the four chambers."""
    chambers = {
        LVC: ("left_ventricle", "interventricular_septum"),
        RVC: ("right_ventricle",),
        LA: ("left_cardiac_atrium",),
        RA: ("right_cardiac_atrium",),
    }
    vessels = {
        PA: ("pulmonary_trunk", "pulmonary_artery_R", "pulmonary_artery_L"),
        SVC: ("superior_vena_cava",),
        VEINS: ("inferior_vena_cava_a",),
    }
    pool, tissue = {}, {}
    for label, names in (chambers | vessels).items():
        pool[label], tissue[label] = cavity(*(part[name] for name in names))
    stubs = [f"pulmonary_vein_{name}" for name in ("L_sup", "L_inf", "R_sup", "R_inf")]
    pool[PV] = np.any([cavity(part[name])[0] for name in stubs], axis=0)
    pool[AO] = solid(*(part[name] for name in ("ascending_aorta", "aortic_arch", "descending_aorta_a")))
    pool[CS] = solid(part["coronary_sinus"])
    pool[VEINS] |= solid(*(part[f"{name}_cardiac_vein"] for name in ("great", "middle")))
    arteries = sample_surface(np.concatenate([part[name] for name in (*CORONARIES, *ARCH_BRANCHES)]))[0]
    pool[ARTERIES] = ndimage.binary_closing(voxels_of(arteries), iterations=3)
    tissue[LVM] = solid(*(part[f"papillary_muscle_of_heart_{name}"] for name in ("posteromedial", "anterolateral")))
    return pool, {label: tissue[label] for label in (*chambers, LVM)}


def within(mask: Mask, reach_mm: float) -> Mask:
    return distance(mask, reach_mm + 1) < reach_mm


def closed(mask: Mask) -> Mask:
    """Without the cleft that two fields of winding numbers leave between blood and tissue."""
    return np.asarray(ndimage.binary_closing(mask, iterations=2))


def rooted(papillary: Mask, muscle: Mask, towards_apex: Vector) -> Mask:
    """Papillary muscles, each with a foot in the wall: the meshes' float in the blood."""
    wall, out = spatial.cKDTree(np.argwhere(muscle)), papillary.copy()
    pieces, count = ndimage.label(papillary)
    for piece in range(1, count + 1):
        points = np.argwhere(pieces == piece)
        foot = points[np.argsort(points @ towards_apex)[-len(points) // 5 :]].mean(0)
        there = wall.data[wall.query(foot + 4 / STEP_MM * towards_apex)[1]]
        line = np.linspace(foot, there, 40).round().astype(int)
        stalk = np.zeros_like(out)
        stalk[tuple(line.T)] = True
        out |= within(stalk, 3.5)
    return out


def build(part: dict[str, Vector]) -> NDArray[np.uint8]:
    """Labels [z, y, x] of the heart at STEP_MM from LOW_MM."""
    pool, tissue = raw(part)
    whole = {label: closed(pool[label] | tissue[label]) for label in (LVC, RVC, LA, RA)}
    ventricles = distance(closed(whole[LVC] | whole[RVC]))  # no wall of the right one at the septum
    pool[RVC] |= whole[RVC] & (ventricles < -WALL_MM[RVC]) & ~whole[LVC]
    for atrium in (LA, RA):
        pool[atrium] |= distance(whole[atrium]) < -WALL_MM[atrium]
    rings = {
        (LVC, LA): annulus(part["mitral_valve"], part["left_ventricle"], part["left_cardiac_atrium"]),
        (RVC, RA): annulus(part["tricuspid_valve"], part["right_ventricle"], part["right_cardiac_atrium"]),
        (LVC, AO): root(part["aortic_valve"], part["ascending_aorta"]),
        (RVC, PA): root(part["pulmonary_valve"], part["pulmonary_trunk"]),
    }
    names = dict(zip(rings, ("mitral", "tricuspid", "aortic", "pulmonary"), strict=True))
    valves = {pair: hull(part[f"{name}_valve"].reshape(-1, 3)) for pair, name in names.items()}
    pool[AO] |= valves[LVC, AO]
    pool[PA] |= valves[RVC, PA]
    for label, wider_mm in CALIBRE_MM.items():
        pool[label] = within(pool[label], wider_mm)
    for (one, other), ring in rings.items():
        between = valves[one, other] & ~tissue[LVC] & ~(pool[AO] if other == LA else False)
        pool[one], pool[other] = join(pool[one], pool[other], between, ring)
    room = whole[LVC] & (ventricles < -SEPTUM_MM) & ~within(pool[RVC], SEPTUM_MM)
    pool[LVC] = grow_to(pool[LVC], CAVITY_ML, room & ~within(pool[AO] | pool[LA], GAP_MM))
    blood = pool[LVC] | pool[LA] | pool[AO]
    muscle = largest(smooth((whole[LVC] | within(pool[LVC], 5.0)) & ~blood))
    towards_apex = np.argwhere(muscle).mean(0) - ((rings[LVC, LA][0] - LOW_MM) / STEP_MM)[::-1]
    papillary = rooted(tissue[LVM], muscle, towards_apex / np.linalg.norm(towards_apex)) & pool[LVC]
    pool[LVC] = largest(pool[LVC] & ~papillary)
    return assemble(pool, muscle | papillary, whole[RVC] | whole[LA] | whole[RA])


def _joined(one: int, other: int) -> bool:
    return one == other or (one, other) in JOINTS or (other, one) in JOINTS


def assemble(pool: dict[int, Mask], muscle: Mask, walls: Mask) -> NDArray[np.uint8]:
    """One label a voxel; pools that do not join keep a wall between them, at the cost of the later one."""
    labels = np.zeros(SHAPE, np.uint8)
    for label in (AO, LVC, RVC, PA, LA, RA, CS, SVC, PV, VEINS, ARTERIES):
        mine = pool[label] & (labels == 0)
        for other in np.unique(labels[labels > 0]):
            if not _joined(label, int(other)):
                gap = SEPTUM_MM if {label, int(other)} == {LVC, RVC} else GAP_MM
                mine &= ~within(labels == other, gap)
        labels[mine if label in (PV, VEINS, ARTERIES) else largest(mine)] = label
    for vessel, chamber in MOUTHS:
        gate = within(labels == vessel, MOUTH_MM) & within(labels == chamber, MOUTH_MM)
        labels[gate & (labels == 0)] = vessel
    labels[(labels == 0) & (muscle | within(labels == LVC, 3.0))] = LVM
    labels[largest((labels == 0) & walls)] = WALL
    return labels


def main() -> None:
    import SimpleITK as sitk

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("meshes", type=Path)
    image = sitk.GetImageFromArray(build(read_meshes(parser.parse_args().meshes)))
    image.SetSpacing((STEP_MM,) * 3)
    image.SetOrigin(LOW_MM.tolist())
    FILE.parent.mkdir(exist_ok=True)
    sitk.WriteImage(image, str(FILE), useCompression=True)


if __name__ == "__main__":
    main()
