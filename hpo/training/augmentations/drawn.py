"""One operation of a few for each image, drawn at random, batchwise.

Posterize, solarize, equalize and sharpness of the papers are left out: inputs are normalised, not bytes.
"""

import math

import torch

from hpo.training.augmentations.geometry import Padding, warp

GREATEST = {
    "nothing": 0.0,
    "turn": math.radians(30),
    "shear right": 0.3,
    "shear down": 0.3,
    "shift right": 150 / 331,
    "shift down": 150 / 331,
    "brightness": 0.9,
    "contrast": 0.9,
}
"""The operations at full strength, with the ranges of RandAugment (Cubuk et al. 2020).

Radians counter-clockwise; pixels by pixel of distance from the centre; shares of width or height; standard deviations
that are added; change of the factor on an image's distance from its own mean.
"""
MOVES = ("turn", "shear right", "shear down", "shift right", "shift down")
NUM_OPERATIONS = len(GREATEST)


def operate(x: torch.Tensor, operation: torch.Tensor, strength: torch.Tensor, padding: Padding) -> torch.Tensor:
    """Do to every image one operation.

    Args:
        x: images [B, C, H, W].
        operation: by its place in `GREATEST` [B] int64.
        strength: as a share of the greatest, either way [B], within -1..1.
        padding: what is seen beyond the edges.
    """
    amounts = {
        name: torch.where(operation == place, strength * greatest, 0.0)
        for place, (name, greatest) in enumerate(GREATEST.items())
    }
    is_moved = torch.stack([amounts[name] != 0 for name in MOVES]).any(0)
    moved = torch.where(_of_images(is_moved), warp(x, _affine(amounts, x.shape[2] / x.shape[3]), padding), x)
    mean = moved.mean((1, 2, 3), keepdim=True)
    contrast, brightness = (_of_images(amounts[name].to(x.dtype)) for name in ("contrast", "brightness"))
    return moved + contrast * (moved - mean) + brightness


def _affine(amounts: dict[str, torch.Tensor], aspect: float) -> torch.Tensor:
    """From places in the output to places in the input [B, 2, 3]; 1 is half the width or height, `aspect` H / W."""
    cos, sin = amounts["turn"].cos(), amounts["turn"].sin()
    across = torch.stack([cos, (-sin - amounts["shear right"]) * aspect, -2 * amounts["shift right"]], 1)
    down = torch.stack([(sin - amounts["shear down"]) / aspect, cos, -2 * amounts["shift down"]], 1)
    return torch.stack([across, down], 1)


def _of_images(numbers: torch.Tensor) -> torch.Tensor:
    return numbers.view(-1, 1, 1, 1)
