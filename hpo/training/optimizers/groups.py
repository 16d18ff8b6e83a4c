"""Which parameters decay."""

from torch import nn


def split_by_decay(module: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Parameters that decay, and those that do not: biases, and the scales and shifts of norms."""
    decaying = [parameter for parameter in module.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in module.parameters() if parameter.ndim <= 1]
    return decaying, others
