"""What leaves as one model: a network behind its normalization, or several whose predictions are pooled."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from hpo.errors import BundleError
from hpo.export.inference import AS_TRAINED, Inference
from hpo.training.bundles.card import OF_ENSEMBLE, OF_NETWORK, Outputs
from hpo.training.data.normalization import Normalization, Whitening, resize


@dataclass(frozen=True, kw_only=True)
class Member:
    """A network, what is done to its inputs, and how much its word counts beside others'."""

    module: nn.Module
    """From normalised inputs [B, ...] to logits [B, C], for any B; left as it is."""
    normalization: Normalization
    """Members that hold the very same one share it in the exported model, too."""
    weight: float = 1.0
    """Relative to those of the others: they are scaled to add up to 1."""
    inference: Inference = AS_TRAINED


class Single(nn.Module):
    """One network: log-probabilities [B, C]."""

    outputs: Outputs = OF_NETWORK

    def __init__(self, member: Member) -> None:
        super().__init__()
        self.normalize = Normalize(member.normalization)
        self.module = member.inference.prepare(member.module)
        self._inference = member.inference
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [B, *input_shape] -> [B, C]."""
        return self._inference.log_probs(self.module, self.normalize(x))


class Ensemble(nn.Module):
    """Several networks: the weighted mean of their probabilities, tempered.

    A plain loop over its members: a vmapped one does not export with a batch of any size, and is no faster on a CPU.
    """

    outputs: Outputs = OF_ENSEMBLE
    log_weights: torch.Tensor
    temperature: torch.Tensor

    def __init__(self, members: Sequence[Member], temperature: float) -> None:
        super().__init__()
        _check(members, temperature)
        weights = torch.tensor([member.weight for member in members], dtype=torch.float64)
        self.register_buffer("log_weights", (weights / weights.sum()).log().float())
        self.register_buffer("temperature", torch.tensor(temperature, dtype=torch.float32))
        distinct = {id(member.normalization): member.normalization for member in members}
        self.normalize = nn.ModuleList(Normalize(normalization) for normalization in distinct.values())
        self._places = [list(distinct).index(id(member.normalization)) for member in members]
        self.members = nn.ModuleList(member.inference.prepare(member.module) for member in members)
        self._inferences = [member.inference for member in members]
        self.eval()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """x [B, *input_shape] -> log-probabilities [B, C], their entropy [B], and the members' disagreement [B].

        Disagreement is the mutual information of class and member, in nats: the entropy of the members' mean less the
        mean of their entropies, both before tempering (Houlsby 2011; Depeweg 2018). It is 0 where all say the same,
        and at most the entropy of the weights.
        """
        seen = [normalize(x) for normalize in self.normalize]
        voices = zip(self._inferences, self.members, self._places, strict=True)
        of_each = torch.stack([inference.log_probs(member, seen[place]) for inference, member, place in voices])
        pooled = torch.logsumexp(of_each + self.log_weights[:, None, None], dim=0)
        log_probs = torch.log_softmax(pooled / self.temperature, dim=1)
        within = (self.log_weights.exp()[:, None] * _entropy(of_each)).sum(0)
        return log_probs, _entropy(log_probs), (_entropy(pooled) - within).clamp(min=0)


class Normalize(nn.Module):
    """A `Normalization`, as a module: resizing, scaling, whitening."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, normalization: Normalization) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(normalization.mean))
        self.register_buffer("std", torch.from_numpy(normalization.std))
        self.whitening = nn.Identity() if normalization.whitening is None else _Whiten(normalization.whitening)
        self._size = None if normalization.resizing is None else normalization.resizing.size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [B, *input_shape] -> [B, ...]."""
        x = x if self._size is None else resize(x, self._size)
        whitened: torch.Tensor = self.whitening((x - self.mean) / self.std)
        return whitened


class _Whiten(nn.Module):
    """The affine map of a `Whitening`."""

    centre: torch.Tensor
    matrix: torch.Tensor

    def __init__(self, whitening: Whitening) -> None:
        super().__init__()
        self.register_buffer("centre", torch.from_numpy(whitening.centre))
        self.register_buffer("matrix", torch.from_numpy(whitening.matrix))
        self._shape = whitening.shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [B, *centre.shape] -> [B, *shape]."""
        whitened: torch.Tensor = (x - self.centre).flatten(1) @ self.matrix
        return whitened.reshape(-1, *self._shape)


def _entropy(log_probs: torch.Tensor) -> torch.Tensor:
    """[..., C] -> [...], in nats."""
    return -(log_probs.exp() * log_probs).sum(-1)


def _check(members: Sequence[Member], temperature: float) -> None:
    if not members:
        raise BundleError("an ensemble must have members, but has none. Choose at least one.")
    for place, member in enumerate(members):
        if not (math.isfinite(member.weight) and member.weight > 0):
            raise BundleError(
                f"member {place}: a weight must be a number above 0, but is {member.weight}. Leave the member out."
            )
    if not (math.isfinite(temperature) and temperature > 0):
        raise BundleError(f"a temperature must be a number above 0, but is {temperature}. 1 leaves all as it is.")
