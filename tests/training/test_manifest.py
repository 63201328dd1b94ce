"""Manifests of labelled scans, on tiny files: skipped where torch is not installed."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

torch = pytest.importorskip("torch")
pytest.importorskip("nncf")

from whs_fast import InputError  # noqa: E402

from training.crops import WINDOW_HU  # noqa: E402
from training.manifest import NO_STRUCTURE, draw_labelled_crop, read_manifest  # noqa: E402
from training.train_dense_vnet import half_resolution_shares, loss_of  # noqa: E402

LVM, AO, PA = 4, 5, 10


def write(array, path, spacing=(4.0, 4.0, 4.0)):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin((-30.0, 20.0, 100.0))
    sitk.WriteImage(image, str(path))


@pytest.fixture
def folder(tmp_path):
    """A scan with a bright cube in air and fat, and the cube labelled in four ways."""
    hu = np.full((40, 40, 40), -1000, np.int16)
    hu[4:36, 4:36, 4:36] = -100
    hu[14:26, 14:26, 14:26] = 400
    cube = (hu == 400).astype(np.int16)
    hu += np.random.default_rng(0).normal(0, 15, hu.shape).astype(np.int16)
    write(hu, tmp_path / "scan.nii.gz")
    write(cube * 420, tmp_path / "mmwhs.nii.gz")
    both = cube * 420
    both[20:, :, :] = cube[20:] * 820
    write(both, tmp_path / "mmwhs_aorta.nii.gz")
    write(cube.astype(np.uint8), tmp_path / "coronaries.nii.gz")
    write(cube.astype(np.uint8)[::2, ::2, ::2], tmp_path / "coarse.nii.gz", (8.0, 8.0, 8.0))
    masks = tmp_path / "masks"
    masks.mkdir()
    write(cube.astype(np.uint8), masks / "heart_myocardium.nii.gz")
    write(np.zeros_like(cube, np.uint8), masks / "heart_atrium_right.nii.gz")
    return tmp_path


def manifest(folder, *lines):
    path = folder / "manifest.json"
    path.write_text(json.dumps(list(lines)))
    return path


def line(labels, label_set, **more):
    return {"image": "scan.nii.gz", "labels": labels, "set": label_set, **more}


def crop(folder, *given, seed=0, side=48, scale=2.0, **more):
    (scan,) = read_manifest(manifest(folder, line(*given, **more)))
    return draw_labelled_crop(scan, np.random.default_rng(seed), side, scale)


@pytest.mark.parametrize(
    "labels, label_set, structure",
    [("mmwhs.nii.gz", "mm-whs", 2), ("coarse.nii.gz", "totalsegmentator", LVM), ("masks", "totalsegmentator", LVM),
     ("coronaries.nii.gz", "imagecas", NO_STRUCTURE), ("coarse.nii.gz", "whs-fast", 1)],
)  # fmt: skip
def test_labels_lie_on_their_structure(folder, labels, label_set, structure):
    for seed in range(4):
        image, structures, _ = crop(folder, labels, label_set, seed=seed)
        assert image.shape == structures.shape == (48, 48, 48) and image.dtype == structures.dtype == torch.uint8
        assert set(structures.unique().tolist()) == {0, structures.max().item()} == {0, structure}
        low, high = WINDOW_HU
        bright = image.float() / 255 * (high - low) + low > 150
        agree = 2 * (bright & (structures > 0)).sum() / (bright.sum() + (structures > 0).sum())
        assert agree > (0.85 if labels == "coarse.nii.gz" else 0.93)


def test_a_crop_repeats_with_its_seed(folder):
    one, two, other = (crop(folder, "mmwhs.nii.gz", "mm-whs", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1])
    assert not torch.equal(one[0], other[0])


def labelled(folder, *given, **more):
    return crop(folder, *given, side=16, **more)[2].nonzero().ravel().tolist()


def test_what_is_labelled_in_full(folder):
    assert labelled(folder, "mmwhs.nii.gz", "mm-whs") == [0, 2, 3, 4, 8, 9]  # not aorta and pulmonary artery
    assert labelled(folder, "coarse.nii.gz", "totalsegmentator") == [0, 2, 3, 4, 5, 8, 9, 10]
    assert labelled(folder, "masks", "totalsegmentator") == [0, 4, 8]
    assert labelled(folder, "coronaries.nii.gz", "imagecas") == [0]
    assert labelled(folder, "mmwhs.nii.gz", "mm-whs", labelled=["left_atrium"]) == [0, 2]


@pytest.mark.parametrize(
    "change, found",
    [
        ({"set": "mmwhs"}, "mm-whs"),
        ({"labels": "nowhere.nii.gz"}, "nowhere.nii.gz"),
        ({"labelled": ["left_atrum"]}, "left_atrum"),
        ({"mask": "x"}, "mask"),
    ],
)
def test_what_a_manifest_cannot_say_is_refused(folder, change, found):
    with pytest.raises(InputError, match=found):
        read_manifest(manifest(folder, {**line("mmwhs.nii.gz", "mm-whs"), **change}))


def test_values_of_another_set_are_refused(folder):
    with pytest.raises(InputError, match="420"):
        crop(folder, "mmwhs.nii.gz", "whs-fast")


def confident(structures):
    """Logits that are almost sure of a label map of half resolution."""
    return 20 * torch.nn.functional.one_hot(structures.long(), 11).permute(3, 0, 1, 2)[None].float()


def test_structures_drawn_in_part_may_go_on_but_must_not_be_missed():
    """MM-WHS: aorta beyond the labelled aorta costs nothing; no aorta where it is labelled does."""
    truth = torch.zeros((1, 16, 16, 16), dtype=torch.uint8)
    truth[:, :8] = AO
    shares = half_resolution_shares(truth)
    full = torch.tensor([[i not in (AO, PA) for i in range(11)]])
    longer, missing = torch.full((8, 8, 8), AO), torch.zeros((8, 8, 8))
    assert float(loss_of(confident(longer), shares, full)[0]) < 0.01
    assert float(loss_of(confident(missing), shares, full)[0]) > 1
    everything = torch.ones(1, 11, dtype=torch.bool)
    assert float(loss_of(confident(longer), shares, everything)[0]) > 1


def test_coronary_arteries_are_no_structure_and_the_rest_is_unknown():
    truth = torch.zeros((1, 16, 16, 16), dtype=torch.uint8)
    truth[:, :4] = NO_STRUCTURE
    shares = half_resolution_shares(truth)
    assert shares.shape[1] == 12
    nothing = torch.tensor([[True] + [False] * 10])
    below, above = torch.full((8, 8, 8), AO), torch.full((8, 8, 8), AO)
    above[:2] = 0
    assert float(loss_of(confident(above), shares, nothing)[0]) < 0.01
    assert float(loss_of(confident(below), shares, nothing)[0]) > 2
