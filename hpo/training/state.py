"""All that a trial needs to go on: weights, buffers and optimizer state, by name."""

from dataclasses import dataclass, field

import torch

from hpo.training.schedules import PlateauMemory

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Course:
    """What the validation losses of a trial have led to so far."""

    plateau: PlateauMemory = field(default_factory=PlateauMemory)
    """Of a plateau schedule."""


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
    course: Course = Course()
    """What was measured before; whoever trains the trial brings it forward, not its program."""
