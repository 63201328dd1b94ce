"""Scans that are whole and still not what is expected: no heart in them, or voxels of an odd shape."""

import numpy as np
import pytest
from support.phantom import VALVE_MM, make_models, make_phantom
from whs_fast.engine import Engine
from whs_fast.errors import InputError
from whs_fast.volume import Volume

SHAPE, SPACING_MM = (70, 80, 80), (3.0, 3.0, 3.0)
Z, Y, X = (
    ((np.arange(n) - (n - 1) / 2) * side).reshape([-1 if k == axis else 1 for k in range(3)])
    for axis, (n, side) in enumerate(zip(SHAPE, SPACING_MM[::-1], strict=True))
)


def draw(*parts):
    """HU of parts, (where, HU), each over those before it, in air."""
    hu = np.full(SHAPE, -1000.0)
    for where, value in parts:
        hu[np.broadcast_to(where, SHAPE)] = value
    return hu


def scanned(hu, noise_hu=8.0):
    noisy = hu + np.random.default_rng(0).normal(0.0, noise_hu, SHAPE)
    return Volume(np.clip(np.rint(noisy), -1024, 3071).astype(np.int16), SPACING_MM, (0.0, 0.0, 0.0))


RADIUS = np.sqrt(X**2 + (Y / 1.2) ** 2 + (Z / 1.1) ** 2)
NO_HEARTS = {
    "a phantom of water": scanned(draw(((X**2 + Y**2 < 100**2) & (np.abs(Z) < 90), 0))),
    "a head": scanned(draw((RADIUS < 80, 900), (RADIUS < 74, 35))),
    "an abdomen": scanned(
        draw(
            ((X / 115) ** 2 + (Y / 85) ** 2 + 0 * Z < 1, -100),
            ((X / 105) ** 2 + (Y / 75) ** 2 + 0 * Z < 1, 50),
            ((X - 30) ** 2 + Y**2 + Z**2 < 50**2, 110),  # liver
            (X**2 + (Y - 50) ** 2 + 0 * Z < 18**2, 700),  # spine
        )
    ),
    "noise": scanned(np.zeros(SHAPE), 400.0),
}


@pytest.fixture(scope="module")
def trained():
    return Engine(threads=2)


@pytest.mark.slow
@pytest.mark.parametrize("name", NO_HEARTS)
def test_what_is_no_heart_is_never_a_result_without_a_word(name, trained):
    warnings = trained.run(NO_HEARTS[name]).measurements["warnings"]
    assert any("the scan may show no contrast-filled heart" in warning for warning in warnings)
    assert any(warning.startswith("aortic valve: ") for warning in warnings)


@pytest.mark.parametrize("hu", (-1024, -1000, 0, 40, 3071))
def test_constant_scans_are_refused(hu):
    with pytest.raises(InputError, match="1 of them distinct, expected a CT scan in HU"):
        Engine(threads=1).run(Volume(np.full(SHAPE, hu, np.int16), SPACING_MM, (0.0, 0.0, 0.0)))


@pytest.mark.parametrize(
    ("spacing_mm", "shape"), (((0.5, 0.5, 10.0), (18, 360, 360)), ((10.0, 0.5, 0.5), (360, 360, 18)))
)
def test_voxels_twenty_times_as_long_as_wide_run_through(spacing_mm, shape, tmp_path):
    engine = Engine(threads=2, models=make_models(tmp_path))
    result = engine.run(make_phantom(spacing_mm=spacing_mm, shape=shape))
    assert result.labels.shape == shape
    assert all(structure["volume_ml"] > 0 for structure in result.measurements["structures"].values())
    np.testing.assert_allclose(result.aortic_valve_mm, VALVE_MM, atol=max(spacing_mm))
