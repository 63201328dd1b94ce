"""Hearts set into drawn thoraces as sources: landmarks, what is continued, and the drawn anatomies."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
ndimage = pytest.importorskip("scipy.ndimage")

from training import male, placed_heart, toronto  # noqa: E402
from training.heart import AO, CS, KEPT, LA, LVC, LVM, PA, PV, RA, RVC, SVC, VEINS, sample_tissues  # noqa: E402
from training.parametric_shapes import lattice_around  # noqa: E402


@pytest.fixture(
    scope="module",
    params=[toronto.FOLDER / "regular.nii.gz", toronto.FOLDER / "case16_marfan.nii.gz", male.FILE],
    ids=["regular", "case16_marfan", "male"],
)
def heart(request):
    """A case at half its resolution, its blood on a lattice of 2 mm, and that lattice: what needs no thorax."""
    whole = placed_heart.read(request.param)
    case = placed_heart.Case(whole.labels[::2, ::2, ::2], 2 * whole.step_mm, whole.origin_mm)
    fields = placed_heart.fields_of(case, np.random.default_rng(3))
    lattice = lattice_around(np.array([-90.0, -70.0, -110.0]), np.array([100.0, 100.0, 110.0]), 2.0)
    found = fields.on(lattice)
    deepest, blood = torch.zeros(lattice.shape), torch.zeros(lattice.shape, dtype=torch.uint8)
    for name, label in placed_heart.BLOOD.items():
        blood.masked_fill_(found[name] < deepest, label)
        torch.minimum(deepest, found[name], out=deepest)
    return case, blood.numpy(), lattice


def test_valves_are_where_anatomy_has_them(heart):
    case, _, _ = heart
    left, right, lung = (case.interface(*pair).mean(0) for pair in ((LA, LVC), (RA, RVC), (RVC, PA)))
    assert left[1] > 0 > left[2]  # the mitral valve lies behind and below the aortic one
    assert right[0] < left[0] and right[2] < 0
    assert lung[1] < 0 < lung[2]


def test_every_structure_is_there_and_joins_its_neighbours(heart):
    _, blood, _ = heart
    for label in (PV, LA, LVC, AO, CS, SVC, RA, RVC, PA, VEINS):
        assert (blood == label).sum() > 30, label
    for one, other in ((PV, LA), (LA, LVC), (LVC, AO), (CS, RA), (SVC, RA), (VEINS, RA), (RA, RVC), (RVC, PA)):
        assert (ndimage.binary_dilation(blood == one, iterations=1) & (blood == other)).any(), (one, other)
    for one, other in ((LA, RA), (LVC, RVC)):  # thinner walls vanish at half the resolution
        assert (ndimage.binary_dilation(blood == one) & (blood == other)).sum() < 12, (one, other)


def test_the_aorta_goes_down_behind_the_heart(heart):
    _, blood, lattice = heart
    level = blood[int((-100 - lattice.first_mm[2]) / lattice.step_mm)]
    rows, _ = np.nonzero(level == AO)
    assert len(rows) > 8
    assert lattice.first_mm[1] + lattice.step_mm * rows.mean() > 40


def test_chambers_keep_their_sizes(heart):
    case, blood, lattice = heart
    for label in (LA, LVC, RA, RVC):
        there = (case.labels == label).sum() * case.step_mm**3
        assert (blood == label).sum() * lattice.step_mm**3 == pytest.approx(there, rel=0.1), label


@pytest.mark.parametrize(("names", "draw"), [(toronto.CASES, toronto.draw_toronto), (["male"], male.draw_male)])
def test_a_drawn_anatomy_is_a_heart_in_a_thorax(names, draw):
    if not all((KEPT / f"{name}.npz").exists() for name in names):
        pytest.skip("the atlases are not built (python -m training.toronto, python -m training.male)")
    anatomy = draw(np.random.default_rng([0, 5, 1]))
    origin = np.array(anatomy.valve_mm) - 2.5 * (np.array([90, 90, 100]) - 1) / 2
    tissues = sample_tissues(anatomy, (100, 90, 90), (2.5, 2.5, 2.5), tuple(map(float, origin))).numpy()
    assert {PV, LA, LVC, LVM, AO, CS, SVC, RA, RVC, PA} <= set(np.unique(tissues))
    middle = tissues[44:56, 39:51, 39:51]
    assert (middle == AO).any() and (middle == LVC).any()


def test_the_map_of_the_male_is_whole():
    """One piece each, four pulmonary veins, apex to the left and in front, and blood held in by muscle."""
    case = placed_heart.read(male.FILE)
    for label, count in ({PV: 4} | dict.fromkeys((LA, LVC, AO, CS, SVC, RA, RVC, PA), 1)).items():
        assert ndimage.label(case.labels == label)[1] == count, label
    cavity = case.points(case.labels == LVC).mean(0)
    muscle = case.points(case.labels == LVM)
    far = muscle[np.linalg.norm(muscle, axis=1) > np.linalg.norm(muscle, axis=1).max() - 5].mean(0)
    assert cavity[0] > case.points(case.labels == RVC)[:, 0].mean()
    assert far[0] > 30 > -10 > far[1]
    rim = ndimage.binary_dilation(case.labels == LVC) & (case.labels != LVC)
    assert np.isin(case.labels[rim], (LVM, LA, AO)).mean() > 0.99
