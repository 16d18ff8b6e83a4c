"""Processes that train one trial together: each takes its part of every batch, and all take the same steps."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import final

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from hpo.records import Seat

PATIENCE = timedelta(minutes=2)
"""How long the others are waited for, such as the first while it writes a checkpoint, before it is an error."""


@final
@dataclass(frozen=True)
class Ranks:
    """Which of these processes this is, and what it has from the others.

    Whatever is asked of the others must be asked by all of them, in the same order.
    """

    rank: int = 0
    number: int = 1
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - a value

    @property
    def is_first(self) -> bool:
        """Whether it is the one that speaks and writes for all."""
        return self.rank == 0

    def part(self, num: int) -> slice:
        """Its examples of `num`; the parts are equal to one example, and empty where there are more ranks."""
        return slice(num * self.rank // self.number, num * (self.rank + 1) // self.number)

    def total(self, own: torch.Tensor) -> torch.Tensor:
        """The sum of what all have, to the last bit the same for all; apart from autograd."""
        if self.number == 1:
            return own
        summed = own.detach().clone()
        distributed.all_reduce(summed)
        return summed

    def agreed(self, *numbers: float) -> list[float]:
        """What the first says, for clocks differ."""
        if self.number == 1:
            return list(numbers)
        said = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        distributed.broadcast(said, src=0)
        return said.tolist()

    def wrapped(self, module: nn.Module, *, may_skip: bool) -> nn.Module:
        """`module`, whose gradients become the mean over all while they are computed.

        Args:
            module: in which batch norms are shared.
            may_skip: whether some parameters may have no part in the loss.
        """
        if self.number == 1:
            return module
        return DistributedDataParallel(module, broadcast_buffers=False, find_unused_parameters=may_skip)

    def without_mean(self, wrapped: nn.Module) -> AbstractContextManager[None]:
        """For passes whose gradients stay each rank's own, until a later pass takes the mean of all."""
        return wrapped.no_sync() if isinstance(wrapped, DistributedDataParallel) else nullcontext()


ALONE = Ranks()


def take_seat(seat: Seat, *, use_gpu: bool) -> Ranks:
    """Meet the others, once for each process: over NCCL with a GPU each, else over Gloo."""
    store = distributed.TCPStore(  # type: ignore[attr-defined]  # its stub lists it elsewhere
        seat.host, seat.port, seat.number, is_master=seat.rank == 0, timeout=PATIENCE, master_listen_fd=seat.listening
    )
    backend = "nccl" if use_gpu else "gloo"
    distributed.init_process_group(backend, store=store, rank=seat.rank, world_size=seat.number, timeout=PATIENCE)
    return Ranks(seat.rank, seat.number, torch.device("cuda" if use_gpu else "cpu"))
