"""In which order examples are seen: pure functions of the classes and a generator."""

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

BatchOrder = Literal["shuffled", "balanced", "stratified"]
"""Each example once; as many examples drawn, every class as likely; or each once, every class in each batch."""

Numbers = npt.NDArray[np.int64]


def arrange(y: torch.Tensor, order: BatchOrder, generator: torch.Generator) -> torch.Tensor:
    """The examples of an epoch [n] int64, on the CPU, to be cut into batches.

    `balanced` draws with replacement, each class with the same probability, so that an epoch repeats the rare and
    leaves out some of the frequent; `stratified` gives every batch the classes in their shares of the whole, to
    within a few examples.

    Args:
        y: class indices [n].
        order: of which kind.
        generator: on the CPU.
    """
    if order == "balanced":
        return _balanced(y.cpu(), generator)
    shuffled = torch.randperm(len(y), generator=generator)
    return shuffled if order == "shuffled" else torch.from_numpy(spread_classes(shuffled.numpy(), y.cpu().numpy()))


def spread_classes(order: Numbers, y: Numbers) -> Numbers:
    """Rearrange `order` so that each of its cuts holds every class in its share, as near as whole examples allow.

    Within a class the order stays; the classes take turns as seats are dealt to parties (Webster, Sainte-Lague).

    Args:
        order: of the examples [n], shuffled.
        y: class indices of all examples.
    """
    _, classes, sizes = np.unique(y[order], return_inverse=True, return_counts=True)
    by_class = np.argsort(classes, kind="stable")
    rank = np.empty(len(order))
    rank[by_class] = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return order[np.argsort((rank + 0.5) / sizes[classes], kind="stable")]


def _balanced(y: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """With replacement: a class first, then one of its examples."""
    _, sizes = y.unique(return_counts=True)
    chosen = torch.randint(len(sizes), (len(y),), generator=generator)
    within = (torch.rand(len(y), generator=generator, dtype=torch.float64) * sizes[chosen]).long()
    return y.argsort(stable=True)[(sizes.cumsum(0) - sizes)[chosen] + within]
