"""L-BFGS, for small networks and full batches."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from hpo.config import PER_LANE, Config
from hpo.training.optimizers.groups import UNIFORM, Closure, LrFactor


class Lbfgs(Config):
    """L-BFGS with a strong-Wolfe line search, as `torch.optim.LBFGS`; its trials train one at a time.

    A batch must hold all training examples, so that an epoch is one step of many iterations. Curvature is learned anew
    in every step, so that a trial goes on exactly where it was.
    """

    kind: Literal["lbfgs"] = "lbfgs"
    lr: Annotated[float, PER_LANE, Field(gt=0)] = 1.0
    """Peak learning rate: where a line search begins."""
    max_iter: Annotated[int, Field(ge=1)] = 20
    """Iterations of an epoch."""
    history_size: Annotated[int, Field(ge=1)] = 10
    """Last iterations from which curvature is known."""

    def make(self, module: nn.Module, lr_factor: LrFactor = UNIFORM) -> torch.optim.Optimizer:
        """The optimizer of a trial that trains alone.

        Raises:
            ValueError: if parameters shall have rates of their own.
        """
        if lr_factor != UNIFORM:
            raise ValueError(
                f"lr_factor: must be 1 for lbfgs, which moves all parameters along one line, but got {lr_factor}. "
                "Delete it, or use another optimizer."
            )
        return _FreshLbfgs(
            [parameter for parameter in module.parameters() if parameter.requires_grad],
            lr=self.lr,
            max_iter=self.max_iter,
            history_size=self.history_size,
            line_search_fn="strong_wolfe",
        )


class _FreshLbfgs(torch.optim.LBFGS):
    """Begins every step without memory, and searches along a line that stays: each evaluation has the same luck."""

    def step(self, closure: Closure) -> torch.Tensor:  # type: ignore[override]
        """As torch's; `closure` may draw."""
        self.state.clear()

        def with_same_luck() -> torch.Tensor:
            with torch.random.fork_rng():
                return closure()

        loss: torch.Tensor = super().step(with_same_luck)  # type: ignore[no-untyped-call]
        return loss
