"""Scans with known aortic roots, and how far the engine's figures lie from the truth.

    python -m training.roots render FOLDER --count 12     scan_NN.nii.gz, scan_NN_labels.nii.gz and truths.json
    python -m training.roots score FOLDER --labels true   the engine's measuring on the true labels
    python -m training.roots score FOLDER --labels own    the whole engine

Seeds are (10, i); development had (11, i). Slices of 0.4 to 1.0 mm, noise of 10 to 40 HU, half of the valves calcified.
Tissues are sampled at about half a millimetre, also along thick slices, so that a slice holds the shares of a cusp
and of blood that it should.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from whs_fast.engine import Engine
from whs_fast.reading.scan import read
from whs_fast.valves.ascending import describe_ascending
from whs_fast.valves.planes import describe_planes, find_planes
from whs_fast.valves.projection import angles_of
from whs_fast.valves.root import describe_root, find_root

from training.aorta_truth import aorta_truth
from training.heart import structures_of
from training.parametric import ParametricAnatomy, draw_rooted, sample_parametric
from training.parametric_root import CUSPS
from training.root_truth import root_truth
from training.testsets import Acquisition, render_test

SEED = 10
FINE_MM = 0.6


def acquisition(rng: np.random.Generator, field_mm: float, height_mm: float) -> Acquisition:
    """As planning scans are made: well filled with contrast, thin slices."""
    return Acquisition(
        contrast_hu=float(rng.uniform(280, 520)),
        noise_hu=float(rng.uniform(10, 40)),
        slice_mm=float(rng.uniform(0.4, 1.0)),
        field_mm=field_mm,
        height_mm=height_mm,
        pixel_mm=float(rng.uniform(0.45, 0.7)),
        right_share=float(rng.uniform(0.3, 1.0)),
    )


def render(folder: Path, first: int, count: int, seed: int, field_mm: float, height_mm: float) -> None:
    """Scans of the seeds (seed, first) onwards; those that are there already are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "truths.json"
    truths = json.loads(file.read_text()) if file.exists() else {}
    for index in range(first, first + count):
        case = f"scan_{index:02d}"
        if case in truths:
            continue
        anatomy = draw_rooted(np.random.default_rng([seed, index]))
        rng = np.random.default_rng([seed, index, 1])
        how = acquisition(rng, field_mm, height_mm)
        thick = int(np.ceil(how.slice_mm / FINE_MM))
        spacing = np.array([how.pixel_mm, how.pixel_mm, how.slice_mm / thick])
        nx, ny, nz = (np.array([field_mm, field_mm, height_mm]) / spacing).astype(int)
        middle = np.array(anatomy.valve_mm) + rng.uniform(-6, 6, 3)
        origin = middle - spacing * (np.array([nx, ny, nz]) - 1) / 2
        shape, steps, corner = (int(nz), int(ny), int(nx)), _xyz(spacing), _xyz(origin)
        tissues = sample_parametric(anatomy, shape, steps, corner)
        hu = render_test(tissues.numpy(), spacing[::-1], how, rng, calcify=False)
        kept = slice((thick - 1) // 2, None, thick)
        for name, array in ((case, hu[kept]), (f"{case}_labels", structures_of(tissues).numpy()[kept])):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing((steps[0], steps[1], thick * steps[2]))
            image.SetOrigin((corner[0], corner[1], corner[2] + kept.start * steps[2]))
            sitk.WriteImage(image, str(folder / f"{name}.nii.gz"), True, 1)
        truths[case] = true_figures(anatomy) | {"noise_hu": how.noise_hu, "slice_mm": how.slice_mm}
        file.write_text(json.dumps(truths, indent=1) + "\n")
        print(case, flush=True)


def true_figures(anatomy: ParametricAnatomy) -> dict[str, Any]:
    """What is true of an anatomy's root and ascending aorta."""
    root = root_truth(anatomy)
    return root.figures() | {"ascending": aorta_truth(anatomy, root.junction.plane).figures()}


def _xyz(vector: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in vector)
    return x, y, z


def _angle_deg(one: Any, other: Any) -> float:
    return float(np.degrees(np.arccos(np.clip(np.dot(one, other), -1, 1))))


def _errors(found: dict[str, Any], truth: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Name of a figure and how far it is from the truth: distances as they are, sizes with their sign."""
    plane = found["valves"]["aortic"]
    if "normal" in plane:
        yield "label plane: centre, mm", float(np.linalg.norm(np.subtract(plane["centre_mm"], truth["centre_mm"])))
        yield "label plane: normal, deg", _angle_deg(plane["normal"], truth["normal"])
    yield from _aorta_errors(found["ascending_aorta"], truth["ascending"])
    root = found["aortic_root"]
    if "annulus" not in root:
        return
    annulus = root["annulus"]
    normal = np.array(truth["normal"])
    away = np.subtract(annulus["centre_mm"], truth["centre_mm"])
    yield "plane: centre, mm", float(np.linalg.norm(away))
    yield "plane: height, mm", float(away @ normal)
    yield "plane: normal, deg", _angle_deg(annulus["normal"], normal)
    hinges = np.array([annulus["hinge_points_mm"][cusp] for cusp in CUSPS])
    for cusp, distance in zip(CUSPS, np.linalg.norm(hinges - truth["hinges_mm"], axis=1), strict=True):
        yield f"hinge point, {cusp}, mm", float(distance)
    for part in ("annulus", "lvot", "sinotubular_junction"):
        sizes, true = root[part], truth["junction" if part == "sinotubular_junction" else part]
        if "area_mm2" not in sizes:
            continue
        diameter = 2 * np.sqrt(true["area_mm2"] / np.pi)
        yield f"{part}: D_A, mm", 2 * np.sqrt(sizes["area_mm2"] / np.pi) - diameter
        yield f"{part}: area, %", 100 * (sizes["area_mm2"] / true["area_mm2"] - 1)
        yield f"{part}: perimeter, %", 100 * (sizes["perimeter_mm"] / true["perimeter_mm"] - 1)
        yield f"{part}: Dmin, mm", sizes["dmin_mm"] - true["dmin_mm"]
        yield f"{part}: Dmax, mm", sizes["dmax_mm"] - true["dmax_mm"]
    if "height_mm" in root["sinotubular_junction"]:
        yield (
            "sinotubular_junction: height, mm",
            root["sinotubular_junction"]["height_mm"] - truth["junction_height_mm"],
        )
    yield "sinuses: mean, mm", root["sinuses"]["mean_mm"] - float(np.mean(truth["sinus_mm"]))
    for k, side in enumerate(CUSPS[:2]):
        ostium = root["coronary_ostia"][side]
        if "height_mm" in ostium:
            yield f"ostium, {side}: height, mm", ostium["height_mm"] - truth["ostium_heights_mm"][k]
            yield (
                f"ostium, {side}: place, mm",
                float(np.linalg.norm(np.subtract(ostium["rim_mm"], truth["ostia_mm"][k]))),
            )
    yield "calcium: total, mm3", root["calcium"]["volume_mm3"]["total"] - sum(truth["calcium_mm3"].values())
    true_hinges = np.array(truth["hinges_mm"])
    for view, direction in (("coplanar", true_hinges[0] - true_hinges[1:].mean(0)),
                            ("cusp_overlap", true_hinges[0] - true_hinges[1])):  # fmt: skip
        found_view = root["deployment"][view]
        given = [_towards(found_view["lao_deg"], found_view["cranial_deg"]), _towards(*angles_of(direction))]
        yield f"projection, {view}, deg", _angle_deg(*given)


def _aorta_errors(aorta: dict[str, Any], true: list[dict[str, Any]]) -> Iterator[tuple[str, float]]:
    """Of the widest place among those true ones that lie beside the centreline that was measured."""
    if "dmax_mm" not in aorta:
        return
    places = np.array([part["centre_mm"] for part in true])
    first, last = (int(np.linalg.norm(places - aorta["centreline_mm"][i], axis=1).argmin()) for i in (0, -1))
    widest = max(true[first : last + 1], key=lambda part: part["area_mm2"])
    yield "ascending aorta: greatest diameter, mm", aorta["dmax_mm"] - widest["dmax_mm"]
    yield "ascending aorta: D_A, mm", 2 * np.sqrt(aorta["area_mm2"] / np.pi) - 2 * np.sqrt(widest["area_mm2"] / np.pi)


def _towards(lao: float, cranial: float) -> list[float]:
    a, b = np.deg2rad([lao, cranial])
    return [np.sin(a) * np.cos(b), -np.cos(a) * np.cos(b), np.sin(b)]


def score(folder: Path, labels: str, threads: int) -> str:
    """A table of errors: for each figure, in how many scans it was given, median and worst size, mean and sd."""
    truths = json.loads((folder / "truths.json").read_text())
    engine = Engine(threads=threads) if labels == "own" else None
    errors: dict[str, list[float]] = {}
    for case, truth in truths.items():
        scan = read(folder / f"{case}.nii.gz", threads=threads)
        if engine is not None:
            found = engine.run(scan).measurements
        else:
            own = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"{case}_labels.nii.gz")))
            planes = find_planes(own, scan.grid, threads=threads)
            root = describe_root(find_root(scan, own, planes, threads=threads))
            aorta = describe_ascending(scan, own, planes["aortic"], root, threads=threads)
            found = {"valves": describe_planes(planes), "aortic_root": root, "ascending_aorta": aorta}
        own_errors = dict(_errors(found, truth))
        reason = found["aortic_root"].get("not_measurable", f"{own_errors.get('annulus: area, %', 0):+.1f} % area")
        print(f"{case}: {reason}", flush=True)
        for name, error in own_errors.items():
            errors.setdefault(name, []).append(error)
    lines = [
        f"| of {len(truths)} scans, labels: {labels} | given | median size | worst | mean | sd |",
        "|---|" + "---|" * 5,
    ]
    for name, values in sorted(errors.items()):
        size, value = np.abs(values), np.array(values)
        lines.append(f"| {name} | {len(value)} | {np.median(size):.2f} | {size.max():.2f} | {value.mean():+.2f} "
                     f"| {value.std(ddof=1) if len(value) > 1 else 0:.2f} |")  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    drawing = commands.add_parser("render")
    drawing.add_argument("folder", type=Path)
    drawing.add_argument("--first", type=int, default=0)
    drawing.add_argument("--count", type=int, default=40)
    drawing.add_argument("--seed", type=int, default=SEED)
    drawing.add_argument("--field", type=float, default=150.0, help="side in plane, mm")
    drawing.add_argument("--height", type=float, default=130.0, help="mm")
    scoring = commands.add_parser("score")
    scoring.add_argument("folder", type=Path)
    scoring.add_argument("--labels", choices=("own", "true"), default="own")
    scoring.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.command == "score":
        print(score(options.folder, options.labels, options.threads))
        return
    render(options.folder, options.first, options.count, options.seed, options.field, options.height)


if __name__ == "__main__":
    main()
