"""All that a trial needs to go on: weights, buffers and optimizer state, by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from hpo.training.schedules import PlateauMemory

Tensors = dict[str, torch.Tensor]

RAW, AVERAGED = "raw", "averaged"
"""Which weights of a network predict: those of its last step, or their average."""


@dataclass(frozen=True, kw_only=True)
class Best:
    """A trial as it was at its best epoch so far."""

    epoch: int
    metrics: Mapping[str, float]
    """What was measured then."""
    module: Tensors
    """As in `TrialState`."""
    averaged: Tensors = field(default_factory=dict)
    """As in `TrialState`."""
    log_probs: Tensors = field(default_factory=dict)
    """As in `TrialState`."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A network as it was at the end of a cycle of its schedule."""

    epoch: int
    module: Tensors
    """As in `TrialState`."""
    log_probs: Tensors
    """As in `TrialState`, by RAW weights."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """What the validation losses of a trial have led to so far."""

    plateau: PlateauMemory = field(default_factory=PlateauMemory)
    """Of a plateau schedule."""
    best: Best | None = None
    """What early stopping may go back to; none where it is off."""
    snapshots: tuple[Snapshot, ...] = ()
    """Of the cycles that are over, but for one that ends with the training."""


@dataclass(frozen=True, kw_only=True)
class TrialState:
    """The state of one trial between two epochs; the same whether it trained alone or as a lane."""

    epoch: int
    """Epochs trained."""
    module: Tensors
    """The network's `state_dict`."""
    optimizer: Tensors
    """By `kind.parameter`, in `torch.optim`'s words: `momentum_buffer.0.weight`, `exp_avg.0.weight`."""
    averaged: Tensors = field(default_factory=dict)
    """The running average of `module`; empty where none is kept."""
    micro_batch: int = 0
    """Examples at once, over which a trial alone accumulates gradients; 0: whole batches, as long as they fit."""
    log_probs: Tensors = field(default_factory=dict)
    """By RAW weights and by AVERAGED ones, of the validation examples: [n, C] in float16; empty within a segment."""
    course: Course = Course()
    """What was measured before; whoever trains the trial brings it forward, not its program."""

    @property
    def num_steps(self) -> int:
        """Updates behind it, where its optimizer counts them; else 0."""
        return int(next((value for key, value in self.optimizer.items() if key.startswith("step.")), 0))
