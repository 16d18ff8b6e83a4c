"""Moving images [B, C, H, W]: pure functions of what was drawn for each of them."""

from typing import Literal

import torch
from torch.nn import functional

Padding = Literal["reflect", "zero"]


def flip(x: torch.Tensor, is_flipped: torch.Tensor) -> torch.Tensor:
    """Mirror left and right where is_flipped [B]."""
    return torch.where(is_flipped.view(-1, 1, 1, 1), x.flip(-1), x)


def flips_alternating(indices: torch.Tensor, epoch: int) -> torch.Tensor:
    """Of the examples `indices` [B], those to flip in `epoch`: half of them, and the others in the next epoch.

    Two epochs in a row show every image both ways, where random flips repeat half of them (Jordan 2024,
    "94% on CIFAR-10 in 3.29 seconds on a single GPU", section 3.6).
    """
    first = (indices * 0x9E3779B97F4A7C1 >> 32) & 1  # a bit by example: Fibonacci hashing
    return (first + epoch) % 2 == 1


def shift(x: torch.Tensor, down: torch.Tensor, right: torch.Tensor, reach: int, padding: Padding) -> torch.Tensor:
    """Move every image by its own whole pixels: the random crop of a padded image.

    Args:
        x: images.
        down: pixels [B] int64, within -reach..reach.
        right: as `down`.
        reach: pixels of padding, below height and width.
        padding: what comes in at the edges; a zero is the mean of normalised data.
    """
    height, width = x.shape[2:]
    padded = functional.pad(x, (reach,) * 4, mode="reflect" if padding == "reflect" else "constant")
    crops = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view: [B, C, 2 reach + 1, 2 reach + 1, H, W]
    return crops[torch.arange(len(x), device=x.device), :, reach - down, reach - right]


def turn_and_zoom(
    x: torch.Tensor, angles: torch.Tensor, sides: torch.Tensor, offsets: torch.Tensor, padding: Padding
) -> torch.Tensor:
    """Show a turned part of every image at the size of the whole, by bilinear interpolation.

    Args:
        x: images.
        angles: radians [B], counter-clockwise.
        sides: of the part, [B], as shares of height and width.
        offsets: of the part's centre from the image's, [B, 2] right and down; 1 is half the width or height.
        padding: what is seen beyond the edges; a zero is the mean of normalised data.
    """
    height, width = x.shape[2:]
    cos, sin = angles.cos() * sides, angles.sin() * sides
    rows = [torch.stack([cos, -sin * height / width], 1), torch.stack([sin * width / height, cos], 1)]
    return warp(x, torch.cat([torch.stack(rows, 1), offsets.unsqueeze(2)], 2), padding)


def warp(x: torch.Tensor, affine: torch.Tensor, padding: Padding) -> torch.Tensor:
    """Show every image through a map [B, 2, 3] from places in the output to places in the input, bilinearly."""
    grid = functional.affine_grid(affine.to(x.dtype), list(x.shape), align_corners=False)
    beyond = "reflection" if padding == "reflect" else "zeros"
    return functional.grid_sample(x, grid, mode="bilinear", padding_mode=beyond, align_corners=False)
