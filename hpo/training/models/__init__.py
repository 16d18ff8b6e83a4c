"""Networks: `model.build(input_shape, num_classes)` makes an `nn.Module` from [B, *input_shape] to logits [B, C]."""

from typing import Annotated

from pydantic import Field

from hpo.training.models.cnn import Cnn
from hpo.training.models.custom import Custom
from hpo.training.models.mlp import Mlp
from hpo.training.models.resnet import Resnet, Resnet9

Model = Annotated[Mlp | Cnn | Resnet | Resnet9 | Custom, Field(discriminator="kind")]

__all__ = ["Cnn", "Custom", "Mlp", "Model", "Resnet", "Resnet9"]
