"""Measuring a network on examples it was not trained on."""

import torch
from torch import nn
from torch.nn import functional

NUM_AT_ONCE = 2048


def evaluate(module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    """Mean negative log-likelihood in nats, unsmoothed, and accuracy: exact, as the share of correct examples.

    Args:
        module: from [B, ...] to logits [B, C]; left in training mode if it was.
        x: inputs [n, ...].
        y: class indices [n].
    """
    was_training = module.training
    module.eval()
    loss = num_correct = 0.0
    with torch.inference_mode():
        for inputs, targets in zip(x.split(NUM_AT_ONCE), y.split(NUM_AT_ONCE), strict=True):
            logits = module(inputs)
            loss += functional.cross_entropy(logits, targets, reduction="sum").item()
            num_correct += (logits.argmax(1) == targets).sum().item()
    module.train(was_training)
    return loss / len(y), num_correct / len(y)
