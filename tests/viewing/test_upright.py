"""The order of voxels that the page sees: nearest to right, front and head, and each voxel where it was."""

from itertools import permutations, product

import numpy as np
import pytest
from whs_fast.viewing.upright import Order
from whs_fast.volume import Grid

TILT = 0.4
OBLIQUE = np.array([[np.cos(TILT), -np.sin(TILT), 0], [np.sin(TILT), np.cos(TILT), 0], [0, 0, 1]])


@pytest.mark.parametrize("way", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1.0, -1.0), repeat=3)))
@pytest.mark.parametrize("turn", [np.eye(3), OBLIQUE], ids=["upright", "oblique"])
def test_each_voxel_stays_where_it_was_and_indices_grow_to_right_front_and_head(way, signs, turn):
    direction = turn @ (np.eye(3)[:, way] * signs)
    grid = Grid((4, 3, 5), (0.5, 0.7, 1.1), (10.0, -20.0, 30.0), tuple(direction.ravel()))
    order = Order.of(grid)
    upright = order.turned_grid()
    assert (np.diag(np.reshape(upright.direction, (3, 3))) * (-1, -1, 1) > 0.9).all()
    # Each voxel holds its own place; both ways to it must lead to the same.
    z, y, x = np.indices(grid.shape)
    places = np.tensordot(grid.affine, np.stack([x, y, z, np.ones_like(x)]), 1)[:3]
    turned = np.stack([order.turn(axis) for axis in places])
    k, j, i = np.indices(upright.shape)
    expected = np.tensordot(upright.affine, np.stack([i, j, k, np.ones_like(i)]), 1)[:3]
    np.testing.assert_allclose(turned, expected, atol=1e-9)


def test_what_is_written_in_the_upright_order_is_written_in_the_grids_own():
    grid = Grid((4, 3, 5), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0, 0.0, -1.0, 1.0, 0.0, 0.0))
    array = np.zeros(grid.shape, np.uint8)
    order = Order.of(grid)
    order.turn(array)[1, 2, 0] = 7
    assert np.count_nonzero(array) == 1 and order.turn(array)[1, 2, 0] == 7
