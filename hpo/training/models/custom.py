"""Networks of the user's own."""

import importlib
import inspect
import sys
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, field_validator
from torch import nn

from hpo.config import Config
from hpo.training.models.layers import Dropout

PATH = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"


class Custom(Config):
    """Any `nn.Module` from [B, *input_shape] to logits [B, num_classes], by Python path."""

    kind: Literal["custom"] = "custom"
    factory: Annotated[str, Field(pattern=PATH)]
    """`package.module:function`, called with input_shape, num_classes and the arguments; it must name the first two.

    To import its module is to run it: a sweep file of a stranger is as good as its modules.
    """
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    """More keyword arguments of the function."""

    @field_validator("factory")
    @classmethod
    def _is_no_part_of_python(cls, factory: str) -> str:
        module = factory.partition(":")[0]
        if module.partition(".")[0] in sys.stdlib_module_names:
            raise ValueError(f"must be a function of a module of yours, but {module} is a part of Python itself.")
        return factory

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        """What the function returns.

        Raises:
            ValueError: if there is no such function, it does not take these arguments, or it returns something else
                than a module.
        """
        module_name, _, name = self.factory.partition(":")
        try:
            function = getattr(importlib.import_module(module_name), name)
        except (ImportError, AttributeError) as error:
            raise ValueError(
                f"{self.factory} must name a function that Python can import from the folder of the sweep, but {error}."
            ) from error
        given = {"input_shape": input_shape, "num_classes": num_classes, **self.arguments}
        self._check_takes(function, given)
        module = function(**given)
        if not isinstance(module, nn.Module):
            raise ValueError(f"{self.factory} must return a torch.nn.Module, but returned a {type(module).__name__}.")  # noqa: TRY004 - a mistake in the sweep file
        return _share_luck(module)

    def _check_takes(self, function: Callable[..., Any], given: dict[str, Any]) -> None:
        """What was not made to be called from a sweep file is not called, whatever else it would take."""
        try:
            signature = inspect.signature(function)
            signature.bind(**given)
            missing = [name for name in ("input_shape", "num_classes") if name not in signature.parameters]
            why = f"it does not name {' and '.join(missing)}" if missing else None
        except (TypeError, ValueError) as error:
            why = str(error)
        if why is not None:
            raise ValueError(f"{self.factory} must be a function of {', '.join(given)}, by name, but {why}.")


def _share_luck(module: nn.Module) -> nn.Module:
    """Put our dropout in the place of torch's: the same arithmetic, but draws that all trials share, and lanes too."""
    for name, child in module.named_children():
        if type(child) is nn.Dropout:
            setattr(module, name, Dropout(child.p))
        else:
            _share_luck(child)
    return module
