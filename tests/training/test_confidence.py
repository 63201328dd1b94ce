"""Trees learn, faults spoil, and calibration and judgement stay apart."""

import json

import numpy as np
import pytest
from whs_fast.steps.confidence import read_calibration
from whs_fast.structures import STRUCTURES

torch = pytest.importorskip("torch")
pytest.importorskip("nncf")

from training import heart as t  # noqa: E402
from training.bodies import PARTS, draw_part  # noqa: E402
from training.boosting import as_json, fit_trees, predict_all  # noqa: E402
from training.confidence import choose_limit, find_population, true_dice  # noqa: E402
from training.confidence_scans import ANATOMIES, SEEDS, cases  # noqa: E402
from training.faults import FAULTS, OF_HEARTS, render_ordinary  # noqa: E402

SPACING_MM = (2.0, 2.0, 2.0)


def fit(x, y, **options):
    return fit_trees(x, y, np.random.default_rng(0), **({"count": 60, "depth": 2, "rate": 0.2, "least": 4} | options))


def test_trees_learn_what_depends_on_two_features_together():
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (400, 6))
    y = np.where((x[:, 2] > 0.2) & (x[:, 4] < 0.1), 0.3, 0.9)
    found = predict_all(fit(x[:300], y[:300]), x[300:])
    alone = predict_all(fit(x[:300], y[:300], depth=1), x[300:])  # sums of single features cannot
    error, error_alone = (np.abs(guess - y[300:]).mean() for guess in (found, alone))
    assert error < 0.7 * error_alone < np.abs(np.median(y) - y[300:]).mean()


def test_trees_of_nothing_to_tell_apart_predict_the_mean():
    y = np.r_[np.zeros(20), np.ones(20)]
    found = predict_all(fit(np.ones((40, 3)), y, rows=1.0), np.ones((1, 3)))
    assert found[0] == pytest.approx(0.5, abs=0.01)


def test_trees_survive_their_file():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(100, 5)), rng.uniform(size=100)
    trees = fit(x, y)
    own = {"overall": as_json(trees), "structures": as_json(trees), "review_below": 0.8}
    people = {s.key: {"log_ml": [1.0, 1.0], "place_mm": [[0, 0, 0], [1, 1, 1]], "usual": 0.9} for s in STRUCTURES}
    text = json.dumps({"network": "", "population": people, "plain": own, "checked": own}, allow_nan=False)
    again = read_calibration(json.loads(text)).plain.overall
    np.testing.assert_allclose(predict_all(again, x), predict_all(trees, x), atol=2e-3)


def test_half_of_the_scans_are_spoilt_in_every_way_and_no_anatomy_is_shared():
    assert set(SEEDS.values()).isdisjoint(range(8)) and len(set(SEEDS.values())) == len(SEEDS)
    for part, count in ANATOMIES.items():
        faults = [case.fault for case in cases(part)]
        assert len(faults) == 2 * count and faults.count(None) == count
        assert set(faults) == {None, *FAULTS}
    assert len({case.name for case in cases("judgement")}) == 2 * ANATOMIES["judgement"] == 200


def make_heart():
    """Six chambers as blocks side by side in lung."""
    tissues = torch.full((40, 48, 48), t.LUNG, dtype=torch.uint8)
    for place, label in enumerate((t.LA, t.LVC, t.AO, t.RA, t.RVC, t.PA)):
        row, column = divmod(place, 3)
        tissues[8:32, 6 + 18 * row : 24 + 18 * row, 4 + 13 * column : 17 + 13 * column] = label
    return tissues


@pytest.mark.parametrize("fault", OF_HEARTS)
def test_every_fault_changes_a_scan(fault):
    tissues = make_heart()
    before = tissues.clone()
    hu, labels = OF_HEARTS[fault](tissues, SPACING_MM, np.random.default_rng(3))
    ordinary, whole = render_ordinary(tissues, SPACING_MM, np.random.default_rng(3))
    assert torch.equal(tissues, before)
    assert hu.dtype == np.int16 and labels.dtype == np.uint8 and hu.shape == labels.shape
    assert hu.shape != ordinary.shape or (hu != ordinary).mean() > 0.01
    changed = {"cut_off", "motion", "mirrored", "missing"}
    if fault not in changed:
        np.testing.assert_array_equal(labels, whole)


def test_a_mirrored_heart_has_its_left_on_the_right():
    _, labels = OF_HEARTS["mirrored"](make_heart(), SPACING_MM, np.random.default_rng(4))
    _, plain = render_ordinary(make_heart(), SPACING_MM, np.random.default_rng(4))
    np.testing.assert_array_equal(labels, plain[:, :, ::-1])


def test_native_blood_is_as_bright_as_muscle():
    hu, labels = OF_HEARTS["native"](make_heart(), SPACING_MM, np.random.default_rng(5))
    assert 0 < np.median(hu[labels == t.LVC]) < 100


@pytest.mark.parametrize("part", PARTS)
def test_other_parts_of_the_body_hold_soft_tissue_and_bone(part):
    hu = draw_part(part, (40, 60, 60), (4.0, 4.0, 4.0), np.random.default_rng(6))
    assert hu.shape == (40, 60, 60) and (hu > 200).mean() > 0.002 and ((hu > -20) & (hu < 90)).mean() > 0.05


def test_dice_of_a_scan_without_a_heart_is_0():
    nothing, something = np.zeros((3, 4, 5), np.uint8), np.full((3, 4, 5), 2, np.uint8)
    assert true_dice(nothing, nothing)["overall_pooled"] == true_dice(something, nothing)["overall_pooled"] == 0.0
    assert true_dice(something, something)["left_atrium"] == 1.0
    assert true_dice(something, something)["aorta"] is None


def test_the_limit_is_the_lowest_that_flags_nearly_all_wrong_results():
    rng = np.random.default_rng(7)
    dice = rng.uniform(0.5, 1.0, 500)
    guess = dice + rng.normal(0, 0.05, 500)
    wrong, limit = dice < 0.8, choose_limit(guess, dice)
    assert (guess < limit)[wrong].mean() >= 0.97 > (guess < limit - 0.002)[wrong].mean()


def test_the_population_is_that_of_ordinary_scans():
    def row(fault, ml):
        dice = {s.key: 0.9 for s in STRUCTURES}
        return {"fault": fault, "true_ml": [ml] * 10, "true_places_mm": [[1.0, 2.0, 3.0]] * 10, "dice": dice}

    found = find_population([row(None, 10.0), row(None, 40.0), row("native", 1000.0)])["aorta"]
    assert found["log_ml"] == pytest.approx([np.log(20), np.log(2)], abs=1e-3)
    assert found["place_mm"] == [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]
