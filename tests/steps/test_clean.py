"""The rules of cleaning, one by one, and that they hold for every way to store a scan."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from support import references
from whs_fast.steps.clean import HEART, RULES, clean
from whs_fast.structures import BY_KEY, STRUCTURES
from whs_fast.volume import Grid

VOXEL_ML = 0.05
ONE_LARGEST = [
    "left_atrium",
    "left_ventricle_cavity",
    "coronary_sinus",
    "superior_vena_cava",
    "right_atrium",
    "right_ventricle_cavity",
    "pulmonary_artery",
]


def label_of(key):
    return BY_KEY[key].label


def cleaned(labels, voxel_ml=VOXEL_ML):
    return clean(np.ascontiguousarray(labels), cubes(labels.shape, (1000 * voxel_ml) ** (1 / 3)), threads=2)


def cubes(shape, side_mm):
    return Grid(shape, (side_mm,) * 3, (0.0, 0.0, 0.0))


def blocks(*parts, shape=(30, 30, 30)):
    """A label map of boxes: (label, (z, y, x) of the first voxel, (depth, height, width)); later ones lie on top."""
    labels = np.zeros(shape, np.uint8)
    for label, (z, y, x), (depth, height, width) in parts:
        labels[z : z + depth, y : y + height, x : x + width] = label
    return labels


def test_every_structure_has_one_rule_with_a_reason():
    assert [rule.key for rule in RULES] == [structure.key for structure in STRUCTURES]
    assert all(rule.reason for rule in RULES)


@pytest.mark.parametrize("key", ONE_LARGEST)
def test_one_largest_part_stays(key):
    label = label_of(key)
    large, small = (label, (2, 2, 2), (6, 6, 6)), (label, (20, 20, 20), (5, 6, 6))
    np.testing.assert_array_equal(cleaned(blocks(large, small)), blocks(large))


def test_two_parts_of_the_aorta_stay_and_a_third_goes():
    label = label_of("aorta")
    parts = [(label, (2, 2, 2), (6, 6, 6)), (label, (2, 20, 20), (5, 5, 5)), (label, (20, 2, 20), (4, 5, 5))]
    np.testing.assert_array_equal(cleaned(blocks(*parts)), blocks(*parts[:2]))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.key)
def test_crumbs_below_the_smallest_volume_go_even_alone(rule):
    label, neighbour = label_of(rule.key), label_of(rule.attached_to) if rule.attached_to else 0
    crumb = (label, (10, 10, 10), (2, 2, 2))
    beside = [(neighbour, (12, 5, 5), (10, 10, 10))] if neighbour else []
    kept, gone = blocks(*beside, crumb), blocks(*beside)
    np.testing.assert_array_equal(cleaned(kept, rule.smallest_ml / 8 * 1.01), kept)
    # The neighbour of 1000 voxels is above any smallest volume, the crumb of 8 just below its own.
    np.testing.assert_array_equal(cleaned(kept, rule.smallest_ml / 8 * 0.99), gone)


def test_veins_stay_only_where_they_touch_the_atrium():
    atrium = (label_of("left_atrium"), (10, 10, 10), (8, 8, 8))
    vein = label_of("pulmonary_veins")
    touching = [(vein, (10, 10, 18), (3, 3, 5)), (vein, (10, 4, 10), (3, 6, 3)), (vein, (8, 8, 8), (2, 2, 2))]
    apart = (vein, (10, 10, 24), (6, 6, 6))
    by_a_corner = touching[2]
    assert by_a_corner[1] == (8, 8, 8)
    np.testing.assert_array_equal(cleaned(blocks(atrium, *touching, apart)), blocks(atrium, *touching))


def test_a_vein_on_an_island_of_atrium_goes_with_it():
    atrium, island = (label_of("left_atrium"), (2, 2, 2), (9, 9, 9)), (label_of("left_atrium"), (20, 20, 20), (4, 4, 4))
    vein = (label_of("pulmonary_veins"), (20, 20, 24), (4, 4, 4))
    np.testing.assert_array_equal(cleaned(blocks(atrium, island, vein)), blocks(atrium))


def test_the_atrium_is_the_part_at_its_ventricle_not_a_larger_one_elsewhere():
    ventricle = (label_of("right_ventricle_cavity"), (10, 10, 10), (6, 6, 6))
    atrium, spine = (
        (label_of("right_atrium"), (10, 10, 5), (5, 5, 5)),
        (label_of("right_atrium"), (2, 24, 2), (20, 5, 9)),
    )
    np.testing.assert_array_equal(cleaned(blocks(ventricle, atrium, spine)), blocks(ventricle, atrium))
    # With no part at the ventricle, the largest stays.
    apart = (label_of("right_atrium"), (10, 10, 2), (5, 5, 5))
    np.testing.assert_array_equal(cleaned(blocks(ventricle, apart, spine)), blocks(ventricle, spine))


def test_the_heart_is_where_most_kinds_hang_together_not_where_most_voxels_do():
    """Right chambers and a left ventricle in the abdomen, each larger than the true one; the true aorta ends there."""
    chambers = ["left_atrium", "left_ventricle_cavity", "left_ventricle_myocardium", "right_atrium"]
    chambers += ["right_ventricle_cavity", "pulmonary_artery"]
    heart = [(label_of(key), (14, 4, 4 + 4 * k), (6, 6, 4)) for k, key in enumerate(chambers)]
    abdomen = [(label_of(key), (2, 4, 2 + 6 * k), (9, 20, 6)) for k, key in enumerate(chambers[1:5])]
    aorta = (label_of("aorta"), (2, 26, 10), (20, 3, 10))
    np.testing.assert_array_equal(cleaned(blocks(*heart, *abdomen, aorta), 0.1), blocks(*heart, aorta))
    # What the heart lacks, or has a crumb of that no chamber is as small as, stays where it is.
    atrium = label_of("right_atrium")
    without = [part for part in heart if part[0] != atrium]
    apart, crumb = (atrium, (14, 14, 2), (9, 10, 10)), (atrium, (20, 4, 4), (3, 5, 3))
    assert (cleaned(blocks(*without, apart), 0.1) == blocks(apart))[blocks(apart) > 0].all()
    found = cleaned(blocks(*without, apart, crumb), 0.1)
    assert (found[blocks(apart) > 0] == atrium).all()


def test_papillary_muscle_cut_off_inside_the_ventricle_stays():
    wall = (label_of("left_ventricle_myocardium"), (2, 2, 2), (20, 20, 20))
    cavity = (label_of("left_ventricle_cavity"), (5, 5, 5), (14, 14, 14))
    papillary = (label_of("left_ventricle_myocardium"), (10, 10, 10), (3, 3, 3))
    elsewhere = (label_of("left_ventricle_myocardium"), (25, 25, 25), (4, 4, 4))
    np.testing.assert_array_equal(cleaned(blocks(wall, cavity, papillary, elsewhere)), blocks(wall, cavity, papillary))


def test_an_island_inside_another_structure_becomes_that_structure():
    atrium = (label_of("right_atrium"), (5, 5, 5), (12, 12, 12))
    sinus = [(label_of("coronary_sinus"), (20, 20, 20), (4, 4, 4)), (label_of("coronary_sinus"), (9, 9, 9), (2, 2, 2))]
    np.testing.assert_array_equal(cleaned(blocks(atrium, *sinus)), blocks(atrium, sinus[0]))


def test_a_hole_is_filled_but_a_gap_between_two_structures_is_not():
    aorta, hole = (label_of("aorta"), (2, 2, 2), (8, 8, 8)), (0, (4, 4, 4), (2, 2, 2))
    artery = (label_of("pulmonary_artery"), (15, 15, 15), (8, 8, 8))
    halves = (label_of("right_ventricle_cavity"), (15, 15, 19), (8, 8, 8))
    gap = (0, (18, 18, 18), (2, 2, 2))
    np.testing.assert_array_equal(cleaned(blocks(aorta, hole, artery, halves, gap)), blocks(aorta, artery, halves, gap))


def test_parts_of_equal_size_stay_together():
    label = label_of("left_atrium")
    twins = blocks((label, (2, 2, 2), (4, 4, 4)), (label, (20, 20, 20), (4, 4, 4)))
    np.testing.assert_array_equal(cleaned(twins), twins)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 7)])
def test_nothing_stays_nothing(shape):
    np.testing.assert_array_equal(cleaned(np.zeros(shape, np.uint8)), np.zeros(shape, np.uint8))


def test_cleaning_is_in_place():
    labels = blocks((label_of("left_atrium"), (2, 2, 2), (6, 6, 6)), (label_of("left_atrium"), (20, 2, 2), (1, 1, 1)))
    assert clean(labels, cubes(labels.shape, 3.7), threads=1) is labels
    assert labels[20, 2, 2] == 0


def random_labels(seed, shape):
    """Blobs of all labels, in clumps large enough for the rules to choose between."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(11, *shape)), (0, 1.2, 1.2, 1.2))
    noise[0] += 0.05
    return noise.argmax(axis=0).astype(np.uint8)


def turned(labels, grid, order, flips):
    """The same scan with its array's axes in another order, those of `flips` backwards: array and grid."""
    steps = grid.affine[:3, 2::-1].copy()  # mm along z, y and x
    first = np.array(grid.origin_mm)
    for axis in np.flatnonzero(flips):
        first, steps[:, axis] = first + steps[:, axis] * (labels.shape[axis] - 1), -steps[:, axis]
    spacing = np.array(grid.spacing_mm)[::-1][list(order)][::-1]
    direction = steps[:, list(order)][:, ::-1] / spacing
    array = np.flip(labels, np.flatnonzero(flips)).transpose(order)
    numbers = (tuple(float(v) for v in np.ravel(part)) for part in (spacing, first, direction))
    return array.copy(order="C"), Grid(array.shape, *numbers)


ORIENTATIONS = list(
    itertools.product(itertools.permutations(range(3)), itertools.product((False, True), repeat=3))
)  # 48


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10**6), st.tuples(*[st.integers(1, 18)] * 3), st.sampled_from(ORIENTATIONS),
    st.sampled_from([(3.7, 3.7, 3.7), (0.8, 1.0, 3.0), (1.5, 1.5, 1.5)]),
)  # fmt: skip
def test_random_labels_are_cleaned_alike_in_every_orientation(seed, shape, orientation, spacing_mm):
    labels = random_labels(seed, shape)
    grid = Grid(shape, spacing_mm, (10.0, -20.0, 30.0))
    array, stored = turned(labels, grid, *orientation)
    expected = turned(clean(labels, grid, threads=1), grid, *orientation)[0]
    np.testing.assert_array_equal(clean(array, stored, threads=2), expected)


@pytest.fixture(scope="module")
def low_heart():
    """A left ventricle, a right one with a spill and an atrium with spike and vena cava, all low; its grid."""
    shape, spacing_mm = (60, 40, 48), (1.25, 1.5, 1.0)
    labels = np.zeros(shape, np.uint8)
    labels[30:52, 6:30, 26:46] = label_of("left_ventricle_myocardium")
    labels[34:48, 10:26, 30:42] = label_of("left_ventricle_cavity")
    labels[26:52, 6:22, 14:26] = label_of("right_ventricle_cavity")
    labels[2:26, 10:16, 16:20] = label_of("right_ventricle_cavity")
    labels[28:50, 14:30, 2:14] = label_of("right_atrium")
    labels[4:28, 20:28, 4:10] = label_of("right_atrium")  # the vena cava
    labels[40, 31:38, 6] = labels[40, 30, 6] = label_of("right_atrium")  # the spike
    return labels, Grid(shape, spacing_mm, (0.0, 0.0, 0.0))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_what_lies_in_the_abdomen_and_spikes_of_the_atrium_go_in_every_orientation(low_heart, orientation):
    labels, grid = low_heart
    expected = labels.copy()
    expected[:10][np.isin(expected[:10], (8, 9))] = 0  # 20 mm below plane 30
    expected[40, 32:38, 6] = 0  # half-width 1: the core ends at y = 28; 4.5 mm, 3 voxels, further it is border
    array, stored = turned(labels, grid, *orientation)
    np.testing.assert_array_equal(clean(array, stored, threads=2), turned(expected, grid, *orientation)[0])


def test_without_a_left_ventricle_nothing_is_low(low_heart):
    labels, grid = low_heart
    without = np.where(np.isin(labels, (3, 4)), 0, labels).astype(np.uint8)
    found = clean(without.copy(), grid, threads=1)
    assert (found[:10] > 0).any() and (found[:10] == without[:10]).all()


def slow_thin(labels, spacing_mm):
    reach = [int(1.5 / step + 0.5 + 1e-6) for step in spacing_mm[::-1]]
    keep = [int(np.ceil(4.5 / step - 1e-6)) for step in spacing_mm[::-1]]
    for own in (labels == label_of("left_atrium"), labels == label_of("right_atrium")):
        core = ndimage.minimum_filter(own, [2 * r + 1 for r in reach], mode="nearest")
        labels[own & ~ndimage.maximum_filter(core, [2 * k + 1 for k in keep], mode="nearest")] = 0


def slow_clean(labels, grid):
    """The rules read out loud, with scipy; no random label lies far below the others."""
    slow_thin(labels, grid.spacing_mm)
    voxel_ml = grid.voxel_ml
    neighbours = np.ones((3, 3, 3), bool)
    chambers = {label_of(key) for key in HEART}
    least = int(np.ceil(10.0 / voxel_ml - 1e-6))
    labels = references.kept_group(labels, [least if label in chambers else 0 for label in range(len(RULES) + 1)])
    for attached in (False, True):
        before = labels.copy()
        for rule in RULES:
            if (rule.attached_to is not None) != attached:
                continue
            parts, count = ndimage.label(before == label_of(rule.key), neighbours)
            sizes = {part: int((parts == part).sum()) for part in range(1, count + 1)}
            large = {part: size for part, size in sizes.items() if size * voxel_ml >= rule.smallest_ml}
            held = {
                part
                for part in large
                if attached
                and (before[ndimage.binary_dilation(parts == part, neighbours)] == label_of(rule.attached_to)).any()
            }
            order = sorted((size for part, size in large.items() if part not in held), reverse=True)
            places = max(0, rule.parts - len(held))
            for part, size in sizes.items():
                stays = part in held or (part in large and places > 0 and size >= order[:places][-1])
                if not stays:
                    labels[parts == part] = 0
    cavities, count = ndimage.label(np.pad(labels, 1) == 0)
    padded = np.pad(labels, 1)
    for cavity in range(1, count + 1):
        if cavity == cavities[0, 0, 0]:
            continue
        around = np.unique(padded[ndimage.binary_dilation(cavities == cavity) & (cavities != cavity)])
        if len(around) == 1:
            padded[cavities == cavity] = around[0]
    return padded[1:-1, 1:-1, 1:-1]


@pytest.mark.parametrize("spacing_mm", [(3.7, 3.7, 3.7), (1.5, 2.0, 1.2)])
@pytest.mark.parametrize("seed", range(6))
def test_equals_the_rules_read_out_loud(seed, spacing_mm):
    labels = random_labels(seed, (20, 24, 22))
    grid = Grid(labels.shape, spacing_mm, (0.0, 0.0, 0.0))
    before = labels.copy()
    expected = slow_clean(labels.copy(), grid)
    result = clean(labels, grid, threads=2)
    np.testing.assert_array_equal(result, expected)
    assert not np.array_equal(result, before)
