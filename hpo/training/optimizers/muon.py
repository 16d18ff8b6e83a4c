"""Muon."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn

from hpo.config import PER_LANE, Config
from hpo.training.optimizers.groups import UNIFORM, Closure, LrFactor, head_names, param_groups

Beta = Annotated[float, PER_LANE, Field(ge=0, lt=1)]
Groups = list[dict[str, Any]]


class Muon(Config):
    """Orthogonalised momentum for hidden matrices, as `torch.optim.Muon` (Jordan 2024), and AdamW for the rest.

    The rest are convolutions, the last layer, biases and norms. Steps have AdamW's size (Liu et al. 2025), so that one
    rate and one decay serve both. Its trials train one at a time.
    """

    kind: Literal["muon"] = "muon"
    lr: Annotated[float, PER_LANE, Field(gt=0)] = 1e-3
    """Peak learning rate."""
    momentum: Annotated[float, PER_LANE, Field(ge=0, lt=1)] = 0.95
    """Decay rate of the running mean of matrices' gradients."""
    nesterov: bool = True
    """Step from where momentum leads."""
    num_iterations: Annotated[int, Field(ge=1, lt=100)] = 5
    """Of Newton and Schulz, which make a matrix nearly orthogonal."""
    beta1: Beta = 0.9
    """AdamW's decay rate of the gradient's running mean."""
    beta2: Beta = 0.999
    """AdamW's decay rate of the squared gradient's running mean."""
    eps: Annotated[float, PER_LANE, Field(gt=0)] = 1e-8
    """AdamW's, added outside the root."""
    weight_decay: Annotated[float, PER_LANE, Field(ge=0)] = 1e-2
    """Share of a weight lost per step, times the rate; biases and norms do not decay."""

    def make(self, module: nn.Module, lr_factor: LrFactor = UNIFORM) -> torch.optim.Optimizer:
        """The optimizer of a trial that trains alone.

        Raises:
            ValueError: if there is no hidden matrix.
        """
        matrices, rest = _parted(module, lr_factor)
        if not matrices:
            raise ValueError("optimizer.kind: muon needs a hidden dense layer, but the network has none. Use adamw.")
        muon = torch.optim.Muon(
            matrices,
            lr=self.lr,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            nesterov=self.nesterov,
            ns_steps=self.num_iterations,
            adjust_lr_fn="match_rms_adamw",
        )
        adamw = torch.optim.AdamW(
            rest,
            lr=self.lr,
            betas=(self.beta1, self.beta2),
            eps=self.eps,
            weight_decay=self.weight_decay,
            fused=True,
        )
        return _Together([muon, adamw])


class _Together(torch.optim.Optimizer):
    """Several optimizers as one, each with its own parameters: they share its groups and its state."""

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        super().__init__([group for optimizer in optimizers for group in optimizer.param_groups], {})
        self._optimizers = optimizers
        for optimizer in optimizers:
            optimizer.state = self.state

    def step(self, closure: Closure) -> torch.Tensor:  # type: ignore[override]
        """As torch's."""
        with torch.enable_grad():
            loss = closure()
        for optimizer in self._optimizers:
            optimizer.step()
        return loss


def _parted(module: nn.Module, lr_factor: LrFactor) -> tuple[Groups, Groups]:
    """Groups of the hidden matrices, and of all else."""
    head, named = head_names(module), dict(module.named_parameters())
    hidden = {parameter for name, parameter in named.items() if parameter.ndim == 2 and name not in head}
    groups = param_groups(module, lr_factor)

    def only(wanted: set[nn.Parameter]) -> Groups:
        picked = [group | {"params": [p for p in group["params"] if p in wanted]} for group in groups]
        return [group for group in picked if group["params"]]

    return only(hidden), only(set(named.values()) - hidden)
