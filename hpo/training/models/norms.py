"""Norms of dense layers and of images.

Group norm of one group is the layer norm of an image, and that of one channel each its instance norm (Wu & He 2018).
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

DenseNorm = Literal["none", "batch", "layer"]
ImageNorm = Literal["none", "batch", "layer", "instance", "group"]
NormPosition = Literal["before", "after"]
NormMomentum = Annotated[float, Field(gt=0, le=1)]
GhostBatch = Annotated[int, Field(ge=0, multiple_of=2)]
GroupSize = Annotated[int, Field(ge=1)]


class GhostBatchNorm(nn.Module):
    """Batch norm that normalises each part of a batch by its own statistics (Hoffer et al. 2017).

    Every part moves the running statistics, in turn. In evaluation it is batch norm.
    """

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d, size: int) -> None:
        super().__init__()
        self.norm = norm
        self._size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [B, C, ...] -> the same shape."""
        return torch.cat([self.norm(part) for part in self.parts(x, axis=0)])

    def parts(self, x: torch.Tensor, axis: int) -> tuple[torch.Tensor, ...]:
        """As many equal parts, to one example, of at least the ghost batch's size as there are; x, in evaluation."""
        return x.tensor_split(max(1, x.shape[axis] // self._size), axis) if self.training else (x,)


def dense_norm(kind: DenseNorm, width: int, *, momentum: float, ghost_batch: int) -> list[nn.Module]:
    """Of [B, width]; empty for none."""
    match kind:
        case "none":
            return []
        case "batch":
            return [_by_parts(nn.BatchNorm1d(width, momentum=momentum), ghost_batch)]
        case "layer":
            return [nn.LayerNorm(width)]


def image_norm(
    kind: ImageNorm, num_channels: int, *, momentum: float, ghost_batch: int, group_size: int
) -> list[nn.Module]:
    """Of [B, num_channels, height, width]; empty for none.

    Raises:
        ValueError: if the channels cannot be cut into groups of that size.
    """
    match kind:
        case "none":
            return []
        case "batch":
            return [_by_parts(nn.BatchNorm2d(num_channels, momentum=momentum), ghost_batch)]
        case "layer":
            return [nn.GroupNorm(1, num_channels)]
        case "instance":
            return [nn.GroupNorm(num_channels, num_channels)]
        case "group":
            if num_channels % group_size:
                raise ValueError(
                    f"group norm needs channels that are a multiple of model.group_size, but a layer has "
                    f"{num_channels} channels and the groups {group_size}. Change either."
                )
            return [nn.GroupNorm(num_channels // group_size, num_channels)]


def start_at_zero(norm: nn.Module) -> None:
    """Set the norm's scale to 0, so that at first nothing comes through it."""
    nn.init.zeros_((norm.norm if isinstance(norm, GhostBatchNorm) else norm).get_parameter("weight"))


def _by_parts(norm: nn.BatchNorm1d | nn.BatchNorm2d, ghost_batch: int) -> nn.Module:
    return GhostBatchNorm(norm, ghost_batch) if ghost_batch > 0 else norm
