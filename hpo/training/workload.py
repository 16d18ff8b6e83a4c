"""What a worker needs to train any segment of a sweep."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from hpo.paths import SweepPaths
from hpo.records import Message, Seat, Segment
from hpo.training.choice import LaneChoice, LaneSetting
from hpo.training.data.splits import Examples
from hpo.training.examples import as_tensors
from hpo.training.loop import train
from hpo.training.ranks import ALONE, Ranks, take_seat

Trainer = Callable[[Segment], Iterator[Message]]


@dataclass(frozen=True, kw_only=True)
class TorchWorkload:
    """Training and validation examples, and where checkpoints go; the test split is never part of it."""

    train: Examples
    validation: Examples
    num_classes: int
    teacher: npt.NDArray[np.float32] | None = None
    """A teacher's log-probabilities [n, C] of the training examples, where the loss asks for one."""
    paths: SweepPaths
    lanes: LaneSetting = "auto"
    search_path: tuple[str, ...] = field(default_factory=lambda: tuple(sys.path))
    """Where Python looks for modules, a user's own among them: the driver's, for every worker."""

    def open(self, *, num_threads: int, use_gpu: bool) -> Trainer:
        """A function that trains segments in this process, with `num_threads` threads a trial."""
        return self._opened(ALONE, num_threads, use_gpu=use_gpu)

    def open_rank(self, seat: Seat, *, num_threads: int, use_gpu: bool) -> Trainer:
        """The same, as one of several processes that train each trial together; returns when all have come."""
        return self._opened(take_seat(seat, use_gpu=use_gpu), num_threads, use_gpu=use_gpu)

    def _opened(self, ranks: Ranks, num_threads: int, *, use_gpu: bool) -> Trainer:
        sys.path[:] = [*self.search_path, *(folder for folder in sys.path if folder not in self.search_path)]
        torch.set_num_threads(num_threads)
        device = torch.device("cuda" if use_gpu else "cpu")
        data = as_tensors(self.train, self.validation, self.num_classes, device, self.teacher)
        _warm_up(device)
        choice = LaneChoice(self.lanes if ranks.number == 1 else 1, data)
        return partial(train, data=data, paths=self.paths, choice=choice, ranks=ranks)


def _warm_up(device: torch.device) -> None:
    """The first optimizer of a process imports for a second, which no trial's time should hold."""
    module = nn.Linear(1, 1).to(device)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    module(torch.ones(1, 1, device=device)).sum().backward()
    optimizer.step()
