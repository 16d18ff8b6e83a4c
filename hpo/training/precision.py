"""In which number formats a trial computes; weights and optimizer state are float32 always."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch

Precision = Literal["float32", "tf32", "bfloat16"]


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """For forward passes: products in bfloat16, where that is asked for; norms and losses stay in float32."""
    if precision != "bfloat16":
        return nullcontext()  # an autocast that is off costs a small net 3 % of its step
    return torch.autocast(device.type, torch.bfloat16)


@contextmanager
def matmul_precision(precision: Precision) -> Iterator[None]:
    """For whole steps: float32 products on tensor cores, with ten bits of mantissa, where tf32 is asked for."""
    if precision != "tf32":
        yield
        return
    before = torch.get_float32_matmul_precision()
    before_convolutions = torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        torch.backends.cudnn.allow_tf32 = before_convolutions
