"""A step of training that leaves the weights alone where the gradient is not finite."""

import torch
from torch import nn

LONGEST_GRADIENT = 5.0
LOST_IN_A_ROW = 20  # so many are no accident


class Stepper:
    """Takes the optimiser's steps with gradients cut to LONGEST_GRADIENT.

    bfloat16 gradients of crops of few voxels came out infinite on some processors. One such step would make every
    weight NaN, so it is left out.
    """

    def __init__(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        self.network, self.optimiser, self.lost = network, optimiser, 0

    def __call__(self, loss: torch.Tensor) -> bool:
        """Whether a step along the gradient of the loss was taken.

        Raises FloatingPointError after LOST_IN_A_ROW that were not.
        """
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        length = nn.utils.clip_grad_norm_(self.network.parameters(), LONGEST_GRADIENT)
        if torch.isfinite(length):
            self.optimiser.step()
            self.lost = 0
            return True
        self.lost += 1
        print(f"left out a step: the length of the gradient is {float(length)}", flush=True)
        if self.lost == LOST_IN_A_ROW:
            raise FloatingPointError(f"the gradients of {self.lost} steps in a row are not finite")
        return False
