"""Which pixels of images to hide: masks [B, 1, H, W], true where hidden, by what was drawn for each image."""

import torch

Size = tuple[int, int]
"""Height and width."""


def boxes(top: torch.Tensor, left: torch.Tensor, height: torch.Tensor, width: torch.Tensor, size: Size) -> torch.Tensor:
    """One box for each image, from its top left pixel [B]; what lies outside the image is cut off."""
    rows, columns = (torch.arange(length, device=top.device) for length in size)
    in_rows = (rows >= top[:, None]) & (rows < (top + height)[:, None])
    in_columns = (columns >= left[:, None]) & (columns < (left + width)[:, None])
    return (in_rows[:, :, None] & in_columns[:, None, :]).unsqueeze(1)


def grids(down: torch.Tensor, right: torch.Tensor, period: int, width: int, size: Size) -> torch.Tensor:
    """Squares of `width` pixels, one in each `period`, moved by [B] pixels (GridMask, Chen et al. 2020)."""
    rows, columns = (torch.arange(length, device=down.device) for length in size)
    in_rows = (rows - down[:, None]) % period < width
    in_columns = (columns - right[:, None]) % period < width
    return (in_rows[:, :, None] & in_columns[:, None, :]).unsqueeze(1)


def patches(is_hidden: torch.Tensor, size: Size) -> torch.Tensor:
    """The patches of a regular grid, by is_hidden [B, N, N] (hide-and-seek, Kumar Singh & Lee 2017)."""
    num = is_hidden.shape[1]
    rows, columns = (torch.arange(length, device=is_hidden.device) * num // length for length in size)
    return is_hidden[:, rows][:, :, columns].unsqueeze(1)
