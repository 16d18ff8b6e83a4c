"""Mixing every example of a batch with another one, inputs and labels alike."""

from dataclasses import dataclass

import torch

from hpo.training.augmentations.masks import boxes


@dataclass(frozen=True)
class Mixed:
    """Labels of a mixed batch; loss = share * L(y) + (1 - share) * L(other_y), example by example."""

    y: torch.Tensor
    """[B] int64."""
    other_y: torch.Tensor
    """Of the examples mixed in, [B] int64."""
    share: torch.Tensor
    """Of `y`, [B], in 0..1."""


def mix_up(x: torch.Tensor, other: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """share * x + (1 - share) * x[other], with share [B] (Zhang et al. 2018)."""
    of_each = share.view(-1, *(1,) * (x.ndim - 1))
    return of_each * x + (1 - of_each) * x[other]


def cut_and_mix(
    x: torch.Tensor, other: torch.Tensor, share: torch.Tensor, centres: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Paste a box of x[other] into x (CutMix, Yun et al. 2019).

    Args:
        x: images [B, C, H, W].
        other: the examples that boxes are cut from [B].
        share: of an image that its box leaves, were it not cut off at the edges [B].
        centres: of the boxes, row and column [B, 2], as shares of height and width, below 1.

    Returns:
        Images, and the share of each that was left indeed [B].
    """
    height, width = x.shape[2:]
    side = (1 - share).sqrt()
    box_height, box_width = (side * height).long(), (side * width).long()
    top = (centres[:, 0] * height).long() - box_height // 2
    left = (centres[:, 1] * width).long() - box_width // 2
    mask = boxes(top, left, box_height, box_width, (height, width))
    return torch.where(mask, x[other], x), 1 - mask.to(x.dtype).mean((1, 2, 3))
