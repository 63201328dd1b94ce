"""What tests of the training share. Needs torch only where a test asks for it."""

import pytest


@pytest.fixture(scope="module")
def one_thread():
    """Many small tensors: threads only wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
