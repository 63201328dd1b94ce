"""Steps of training whose gradient is not finite are left out; skipped where torch is not installed."""

import pytest

torch = pytest.importorskip("torch")

from training.stepping import LOST_IN_A_ROW, Stepper  # noqa: E402


@pytest.fixture
def network():
    return torch.nn.Linear(2, 1)


@pytest.fixture
def take_step(network):
    return Stepper(network, torch.optim.SGD(network.parameters(), lr=0.1))


@pytest.mark.parametrize("factor", [float("inf"), float("nan")])
def test_a_gradient_that_is_not_finite_leaves_the_weights_alone(network, take_step, factor, capsys):
    before = network.weight.detach().clone()
    assert not take_step(network(torch.ones(1, 2)).sum() * factor)
    assert torch.equal(network.weight, before)
    assert "left out a step" in capsys.readouterr().out
    assert take_step(network(torch.ones(1, 2)).sum())
    torch.testing.assert_close(network.weight, before - 0.1)


def test_a_long_gradient_is_cut(network, take_step):
    before = torch.cat([network.weight.detach().ravel(), network.bias.detach()])
    assert take_step(network(torch.ones(1, 2)).sum() * 1000)
    after = torch.cat([network.weight.detach().ravel(), network.bias.detach()])
    torch.testing.assert_close((after - before).norm(), torch.tensor(0.5))


def test_training_ends_where_no_gradient_is_finite(network, take_step):
    for _ in range(LOST_IN_A_ROW - 1):
        take_step(network(torch.ones(1, 2)).sum() * float("nan"))
    with pytest.raises(FloatingPointError, match="20 steps in a row"):
        take_step(network(torch.ones(1, 2)).sum() * float("nan"))
