"""Measuring networks on examples they were not trained on."""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from hpo.training.luck import batch_sizes
from hpo.training.ranks import ALONE, Ranks

NUM_AT_ONCE = 2048
"""Examples in one forward pass, where they fit into memory."""


def evaluate(
    forward: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    y: torch.Tensor,
    num_lanes: int = 1,
    num_at_once: int = NUM_AT_ONCE,
    ranks: Ranks = ALONE,
) -> list[dict[str, float]]:
    """Of each lane, val_loss: the mean negative log-likelihood in nats, unsmoothed; and val_accuracy: exact.

    Args:
        forward: from [B, ...] to logits [L, B, C], in evaluation mode.
        x: inputs [n, ...].
        y: class indices [n].
        num_lanes: L.
        num_at_once: examples in one forward pass, over all lanes.
        ranks: of which each takes its part of the examples.
    """
    size, own = max(1, num_at_once // num_lanes), ranks.part(len(y))
    losses = torch.zeros(num_lanes, dtype=x.dtype, device=x.device)
    num_correct = torch.zeros(num_lanes, dtype=torch.int64, device=x.device)
    with torch.inference_mode():
        for inputs, targets in zip(x[own].split(size), y[own].split(size), strict=True):
            logits = forward(inputs).to(x.dtype)
            wanted = targets.expand(num_lanes, -1)
            nll = functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none")
            losses += nll.view(num_lanes, -1).sum(1)
            num_correct += (logits.argmax(2) == wanted).sum(1)
    losses, num_correct = ranks.total(losses), ranks.total(num_correct)
    return [
        {"val_loss": loss / len(y), "val_accuracy": num / len(y)}
        for loss, num in zip(losses.tolist(), num_correct.tolist(), strict=True)
    ]


def predict(
    forward: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, num_lanes: int = 1, num_at_once: int = NUM_AT_ONCE
) -> torch.Tensor:
    """Log-probabilities of every example by each lane, in float16: [L, n, C], on the processor.

    Args:
        forward: from [B, ...] to logits [L, B, C], in evaluation mode.
        x: inputs [n, ...].
        num_lanes: L.
        num_at_once: examples in one forward pass, over all lanes.
    """
    least = torch.finfo(torch.float16).min
    with torch.inference_mode():
        parts = [forward(inputs).float() for inputs in x.split(max(1, num_at_once // num_lanes))]
        return torch.log_softmax(torch.cat(parts, dim=1), dim=2).clamp(min=least).half().cpu()


def estimate_norms(
    module: nn.Module,
    forward: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    batch_size: int,
    held: Sequence[nn.Module] = (),
) -> None:
    """Estimate the running statistics of batch norms anew, as `torch.optim.swa_utils.update_bn`, but without dropout.

    Averaged weights need it: the statistics of an average are not the average of statistics. Leaves `module` in
    evaluation mode.

    Args:
        module: whose batch norms `forward` goes through.
        forward: from [B, ...]; changes the statistics in place.
        x: training inputs [n, ...].
        batch_size: at which statistics are taken; all batches count the same.
        held: norms that keep their statistics.
    """
    norms = [layer for layer in module.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    norms = [norm for norm in norms if norm not in held]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    module.eval()
    with torch.no_grad():
        for number, inputs in enumerate(x.split(batch_sizes(len(x), batch_size)), start=1):
            for norm in norms:
                norm.train().momentum = 1 / number
            forward(inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.eval().momentum = momentum
