"""Optimizers, each in two forms that must agree.

Alone, `optimizer.make(module)` returns the `torch.optim` one. As lanes, the state is a dict of lists of tensors
[L, ...], one list for each of `STATE`, in `torch.optim`'s words (and, if it `COUNTS_STEPS`, the number of the step,
from 1, the same for all lanes). An update changes params and state in place:
`update` for all lanes at once, where the fields of the optimizer are tensors [L], and `update_one`, where it is not
None, for one lane and plain numbers, by torch's fused kernel, which keeps a lane in a processor's cache.
"""

from typing import Annotated

from pydantic import Field

from hpo.training.optimizers.adam import Adam, AdamW
from hpo.training.optimizers.rmsprop import RmsProp
from hpo.training.optimizers.sgd import Sgd

Optimizer = Annotated[Sgd | Adam | AdamW | RmsProp, Field(discriminator="kind")]

__all__ = ["Adam", "AdamW", "Optimizer", "RmsProp", "Sgd"]
