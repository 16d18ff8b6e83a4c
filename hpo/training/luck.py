"""The luck that all trials of a seed index share: one draw serves every lane, and comparisons are paired."""

from dataclasses import dataclass

import torch

from hpo.training.data.batches import BatchOrder, arrange
from hpo.training.seeds import derive_seed, make_generator

_SEEDS = 1 << 63


@dataclass(frozen=True)
class Luck:
    """Draws by (sweep seed, seed index, epoch, step, purpose), never by what was drawn before."""

    seed: int
    seed_index: int

    def batches(
        self, epoch: int, y: torch.Tensor, batch_size: int, order: BatchOrder = "shuffled"
    ) -> list[torch.Tensor]:
        """Indices of the training examples with targets `y`, on its device, cut as `batch_sizes` says.

        The order before the cut is the same for every batch size.
        """
        generator = make_generator(self.seed, self.seed_index, "order", epoch)
        return list(arrange(y, order, generator).to(y.device).split(batch_sizes(len(y), batch_size)))

    def step_seeds(self, epoch: int, num_steps: int) -> list[int]:
        """For torch's global generator at each step of `epoch`, from which layers and augmentations draw."""
        first = derive_seed(self.seed, self.seed_index, "step", epoch)
        return [(first + step) % _SEEDS for step in range(num_steps)]


def batch_sizes(num_examples: int, batch_size: int) -> list[int]:
    """Of the batches of an epoch; a last single example, which no norm can use, joins the batch before it."""
    sizes = [batch_size] * (num_examples // batch_size)
    rest = num_examples % batch_size
    if rest == 1 and sizes:
        sizes[-1] += 1
    elif rest:
        sizes.append(rest)
    return sizes
