"""Labels of the INT8 network beside FP32 on held-out scans, and of lesser processors beside this one on the sample.

`python bench/network_labels.py FOLDER [--scans 8]` (scans made by `python -m training.scans heldout FOLDER`). Both
networks see the same region, found once by the localiser, and go through the same label kernel and cleaning; so the
difference is that of the network's number format alone. The FP32 one is converted from the checkpoint and run whole in
OpenVINO; its logits are rounded to the label kernel's int8, on a scale that just fits the scan's largest logit.

The CPU's features are capped by WHS_FAST_INSTRUCTIONS and ONEDNN_MAX_CPU_ISA in processes of their own, as they are
read once at start.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from whs_fast import STRUCTURES, _kernels
from whs_fast.networks.dense_vnet import DenseVNet
from whs_fast.networks.installed import models_folder
from whs_fast.reading.scan import read
from whs_fast.steps.borders import settle_borders
from whs_fast.steps.clean import clean
from whs_fast.steps.contrast import measure_contrast
from whs_fast.steps.heart_box import cut_heart_box
from whs_fast.steps.localise import localise
from whs_fast.steps.region import region_grid
from whs_fast.steps.segment import Network, segment
from whs_fast.study.evaluation.overlap import count_pairs, dice_matrix, overall_figures
from whs_fast.volume import Grid, Volume

from bench.float_network import as_int8, openvino_network
from training.export_localisers import slice_predictors

# Sets of instructions of our kernels, and the cap that holds OpenVINO's, which runs the localiser, to the same. It runs
# no INT8 network without AVX2.
CAPS = {"avx_vnni": "AVX2_VNNI", "avx2": "AVX2"}


def float_network(threads: int) -> Network:
    """The network of the checkpoint in FP32, whole, as whs_fast.steps.segment.segment calls it."""
    compiled = openvino_network(threads)
    return lambda region, wanted=None, *, progress=None: as_int8(compiled(region[None, None])[0][0])


def label(volume: Volume, region: Grid, network: Network, threads: int) -> NDArray[np.uint8]:
    """Labels of a scan as a run gives them."""
    labels = clean(segment(volume, region, network, threads=threads)[0], volume.grid, threads=threads)
    contrast = measure_contrast(volume, cut_heart_box(volume, labels))
    return settle_borders(volume, labels, contrast, threads=threads)


def overlaps(found: NDArray[np.uint8], reference: NDArray[np.uint8]) -> NDArray[np.int64]:
    return count_pairs(found, reference, len(STRUCTURES) + 1)


def dice(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Dice of the ten structures of one scan; NaN where neither map has one."""
    return np.diag(dice_matrix(counts))[1:]


def pooled(counts: NDArray[np.int64]) -> float:
    return overall_figures(counts, [s.label for s in STRUCTURES])["overall_pooled"] or 0.0


def compare_formats(folder: Path, models: Path, scans: int, threads: int) -> None:
    networks = {
        "int8": DenseVNet(models / "dense_vnet.xml", threads=threads),
        "fp32": float_network(threads),
    }
    predict = slice_predictors(models_folder(), "squeezenet", threads)
    per_scan, overall, between = [], [], []
    for name in sorted(json.loads((folder / "valves.json").read_text()))[:scans]:
        volume = read(str(folder / f"{name}.nii.gz"))
        reference = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"{name}_labels.nii.gz")))
        region = region_grid(volume.grid, localise(volume, predict, threads=threads).point_mm)
        labels = {key: label(volume, region, network, threads) for key, network in networks.items()}
        counts = {key: overlaps(found, reference) for key, found in labels.items()}
        per_scan.append([dice(counts[key]) for key in networks])
        overall.append([pooled(counts[key]) for key in networks])
        between.append(pooled(overlaps(labels["int8"], labels["fp32"])))
        print(
            f"{name} overall_pooled int8 {overall[-1][0]:.4f} fp32 {overall[-1][1]:.4f}, "
            f"int8 against fp32 {between[-1]:.4f}",
            flush=True,
        )
    int8, fp32 = np.nanmean(np.array(per_scan), axis=0)
    print(f"\n| {len(overall)} scans, mean Dice | INT8 | FP32 | drop |\n|---|---|---|---|")
    rows = [("overall_pooled", *np.mean(overall, axis=0))]
    rows += [(s.key, int8[s.label - 1], fp32[s.label - 1]) for s in STRUCTURES]
    for key, a, b in rows:
        print(f"| {key} | {a:.4f} | {b:.4f} | {b - a:+.4f} |")
    print(f"INT8 labels against FP32 labels, overall_pooled: mean {np.mean(between):.4f}, worst {np.min(between):.4f}")


def write_sample_labels(out: Path) -> None:
    from whs_fast import Engine

    sample = str(resources.files("whs_fast") / "data" / "sample.nii.gz")
    np.save(out, Engine(threads=2, backend="native").run(sample).labels)


def compare_instructions() -> None:
    """The sample's labels by lesser sets of instructions against those of this machine's best."""
    best = _kernels.instruction_sets()[0]
    with tempfile.TemporaryDirectory() as folder:
        labels = {}
        for name in _kernels.instruction_sets():
            out = Path(folder) / f"{name}.npy"
            caps = {"WHS_FAST_INSTRUCTIONS": name} | ({"ONEDNN_MAX_CPU_ISA": CAPS[name]} if name in CAPS else {})
            subprocess.run([sys.executable, __file__, "--write-sample", str(out)], check=True, env=os.environ | caps)
            labels[name] = np.load(out)
            counts = overlaps(labels[name], labels[best])
            print(
                f"{name} against {best}: overall_pooled {pooled(counts):.6f}, worst {np.nanmin(dice(counts)):.6f}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--scans", type=int, default=8)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--models", type=Path, default=models_folder())
    parser.add_argument("--write-sample", type=Path)
    options = parser.parse_args()
    if options.write_sample:
        write_sample_labels(options.write_sample)
        return
    compare_instructions()
    if options.folder:
        compare_formats(options.folder, options.models, options.scans, options.threads)


if __name__ == "__main__":
    main()
