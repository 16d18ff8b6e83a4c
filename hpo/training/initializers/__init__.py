"""Initial weights: `initializer(module, generator, inputs)` fills every dense and convolutional weight in place.

Biases start at zero and norms stay as the model made them, unless they are `pretrained`. `inputs` [n, ...] are
training examples, at which only `lsuv` looks. Formulas are torch.nn.init's; its layers' own default is kaiming_uniform
with gain 1 / sqrt(3), but for the bias.
"""

from typing import Annotated

from pydantic import Field

from hpo.training.initializers.layers import start_at_class_shares
from hpo.training.initializers.plain import ConstantInit, Normal, TruncatedNormal, Uniform
from hpo.training.initializers.pretrained import Pretrained
from hpo.training.initializers.scaled import (
    Calibrated,
    KaimingNormal,
    KaimingUniform,
    Orthogonal,
    XavierNormal,
    XavierUniform,
)
from hpo.training.initializers.structured import Dirac, Lsuv

Initializer = Annotated[
    ConstantInit
    | Normal
    | TruncatedNormal
    | Uniform
    | Calibrated
    | XavierUniform
    | XavierNormal
    | KaimingUniform
    | KaimingNormal
    | Orthogonal
    | Dirac
    | Lsuv
    | Pretrained,
    Field(discriminator="kind"),
]

__all__ = [
    "Calibrated",
    "ConstantInit",
    "Dirac",
    "Initializer",
    "KaimingNormal",
    "KaimingUniform",
    "Lsuv",
    "Normal",
    "Orthogonal",
    "Pretrained",
    "TruncatedNormal",
    "Uniform",
    "XavierNormal",
    "XavierUniform",
    "start_at_class_shares",
]
