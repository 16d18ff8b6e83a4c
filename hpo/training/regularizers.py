"""What keeps weights small, or stirs them, besides weight decay: acts on gradients and weights, not on the loss."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field

from hpo.config import PER_LANE_UNLESS_0, Config
from hpo.training.seeds import derive_seed

NOISE_DECAY = 0.55
"""The gamma of Neelakantan et al. (2015)."""

Numbers = Mapping[str, torch.Tensor]


class Regularizer(Config):
    """Each is absent at 0; all leave the reported loss as it is.

    Gradients and weights are [L, ...]; numbers are those of the lanes [L], by field, of what is not absent.
    """

    l1: Annotated[float, PER_LANE_UNLESS_0, Field(ge=0)] = 0.0
    """Times the sum of absolute weights, whose slope is added to the clipped gradient; biases and norms are spared."""
    max_norm: Annotated[float, PER_LANE_UNLESS_0, Field(ge=0)] = 0.0
    """Largest norm of the weights that lead into a unit, enforced after every step (Srivastava et al. 2014)."""
    gradient_noise: Annotated[float, PER_LANE_UNLESS_0, Field(ge=0)] = 0.0
    """eta of the Gaussian noise added to the clipped gradient, of variance eta / (1 + step)^0.55 (Neelakantan 2015)."""

    def adjusted(
        self, grads: Sequence[torch.Tensor], params: Sequence[torch.Tensor], numbers: Numbers, step: int, seed: int
    ) -> list[torch.Tensor]:
        """Gradients with the slope of l1 and with noise; the lanes share the draw, and differ in its size.

        Args:
            grads: as clipped.
            params: in the same order.
            numbers: of the lanes.
            step: from 0, over all of training.
            seed: of this step's luck.
        """
        out = list(grads)
        if "l1" in numbers:
            pairs = zip(out, params, strict=True)
            out = [g + _over(numbers["l1"], p) * p.sign() if _is_weight(p) else g for g, p in pairs]
        if "gradient_noise" in numbers:
            generator = torch.Generator(out[0].device).manual_seed(derive_seed(seed, "gradient noise"))
            sigma = (numbers["gradient_noise"] / (1 + step) ** NOISE_DECAY).sqrt()
            out = [grad + _over(sigma, grad) * _normal_like(grad[0], generator) for grad in out]
        return out

    def project(self, params: Sequence[torch.Tensor], numbers: Numbers) -> None:
        """Scale units whose weights are too long down to `max_norm`, in place, as `torch.renorm`."""
        if "max_norm" not in numbers:
            return
        longest = numbers["max_norm"].view(-1, 1)
        for param in filter(_is_weight, params):
            norms = param.flatten(2).norm(dim=2)
            factors = torch.where(norms > longest, longest / (norms + 1e-7), torch.ones_like(norms))
            param.mul_(factors.view(*norms.shape, *(1,) * (param.ndim - 2)))


def _is_weight(stacked: torch.Tensor) -> bool:
    """Whether a tensor of lanes [L, ...] holds weights, not biases or what belongs to a norm."""
    return stacked.ndim > 2


def _normal_like(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype, device=tensor.device)


def _over(numbers: torch.Tensor, stacked: torch.Tensor) -> torch.Tensor:
    return numbers.view(-1, *(1,) * (stacked.ndim - 1))
