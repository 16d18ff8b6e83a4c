"""Networks of the user's own."""

import importlib
from typing import Annotated, Literal

from pydantic import Field, JsonValue
from torch import nn

from hpo.config import Config
from hpo.training.models.layers import Dropout

PATH = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"


class Custom(Config):
    """Any `nn.Module` from [B, *input_shape] to logits [B, num_classes], by Python path."""

    kind: Literal["custom"] = "custom"
    factory: Annotated[str, Field(pattern=PATH)]
    """`package.module:function`, called with input_shape, num_classes and the arguments."""
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    """More keyword arguments of the function."""

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        """What the function returns.

        Raises:
            ValueError: if there is no such function, or it returns something else than a module.
        """
        module_name, _, name = self.factory.partition(":")
        try:
            function = getattr(importlib.import_module(module_name), name)
        except (ImportError, AttributeError) as error:
            raise ValueError(
                f"{self.factory} must name a function that Python can import from the folder of the sweep, but {error}."
            ) from error
        module = function(input_shape=input_shape, num_classes=num_classes, **self.arguments)
        if not isinstance(module, nn.Module):
            raise ValueError(f"{self.factory} must return a torch.nn.Module, but returned a {type(module).__name__}.")  # noqa: TRY004 - a mistake in the sweep file
        return _share_luck(module)


def _share_luck(module: nn.Module) -> nn.Module:
    """Put our dropout in the place of torch's: the same arithmetic, but draws that all trials share, and lanes too."""
    for name, child in module.named_children():
        if type(child) is nn.Dropout:
            setattr(module, name, Dropout(child.p))
        else:
            _share_luck(child)
    return module
