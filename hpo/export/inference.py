"""How a network predicts once its training is over: with which views of an image, and with norms or without."""

import copy
import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from hpo.config import Config
from hpo.errors import BundleError
from hpo.export.folding import fold_norms

Tta = Literal["none", "flip", "flip_translate"]


class Inference(Config):
    """What is done to a network when it is exported; trials are compared without it."""

    tta: Tta = "none"
    """Views of an image whose probabilities are averaged: itself and mirrored; or these shifted by a pixel, too."""
    fold_norms: bool = False
    """Fold batch norms into the convolutions and dense layers that they follow: fewer operations, equal predictions."""

    def check(self, input_shape: tuple[int, ...]) -> None:
        """Hold the views against inputs of this shape.

        Raises:
            ValueError: if these are no images, or too small to be shifted.
        """
        least = 2 if self.tta == "flip_translate" else 1
        if self.tta != "none" and (len(input_shape) != 3 or min(input_shape[1:]) < least):
            raise ValueError(
                f"{self.tta} needs images [channels, height, width] of at least {least} x {least}, "
                f"but the network takes shape {list(input_shape)}. Set tta to none."
            )

    def refuse_misfits(self, input_shape: tuple[int, ...]) -> None:
        """The same for whoever exports.

        Raises:
            BundleError: see `check`.
        """
        try:
            self.check(input_shape)
        except ValueError as error:
            raise BundleError(f"tta: {error}") from error

    def prepare(self, module: nn.Module) -> nn.Module:
        """A copy of `module` on the CPU in eval mode, its norms folded if that is asked for."""
        ready = copy.deepcopy(module).cpu().eval().requires_grad_(False)
        if self.fold_norms:
            fold_norms(ready)
        return ready

    def log_probs(self, network: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """Of normalised inputs x [B, ...], with `network` from such to logits: [B, C].

        The logarithm of the mean over all views of the probabilities; every view counts the same.
        """
        if self.tta == "none":
            return torch.log_softmax(network(x), dim=1)
        seen = views(x, self.tta)
        of_each = torch.log_softmax(network(torch.cat(seen)), dim=1)
        return torch.logsumexp(of_each.view(len(seen), *x.shape[:1], -1), dim=0) - math.log(len(seen))


AS_TRAINED = Inference()
"""One view, norms in their places."""


def views(x: torch.Tensor, tta: Tta) -> list[torch.Tensor]:
    """Images [B, C, H, W] as they are, and mirrored (Page 2019); flip_translate shows both in three places.

    Those are where they were, and a pixel down and right, or up and left, what comes in reflecting what is beside it
    (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU", section 3.5).
    """
    if tta == "none":
        return [x]
    places = [x]
    if tta == "flip_translate":
        padded = functional.pad(x, (1,) * 4, mode="reflect")
        places += [padded[:, :, :-2, :-2], padded[:, :, 2:, 2:]]
    return [view for image in places for view in (image, image.flip(-1))]
