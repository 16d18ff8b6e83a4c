"""One network whose weights are the mean of several networks' (Wortsman et al. 2022)."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from hpo.errors import EnsembleError

State = Mapping[str, torch.Tensor]
"""A network's `state_dict`."""
Score = Callable[[State], float]
"""The validation NLL of a state, in nats, after its batch norms' statistics have been estimated anew."""

POINTS = (0.25, 0.5, 0.75)
"""Shares of the way from one network to another at which the NLL is looked at."""
TOLERANCE = 0.01
"""Nats by which it may stand above the straight line there."""


@dataclass(frozen=True, kw_only=True)
class Soup:
    """An average, and what it is made of."""

    members: tuple[int, ...]
    """All with the same weight, best first."""
    state: dict[str, torch.Tensor]
    nll: float
    """In nats."""


def uniform_soup(states: Sequence[State], score: Score, tolerance: float = TOLERANCE) -> Soup:
    """The mean of all states.

    Raises:
        EnsembleError: if they are not of one architecture, if the NLL rises on the way from the best to another by more
            than `tolerance` above the straight line, or if that of the mean is above the mean of theirs.
    """
    nlls = _scores(states, score)
    best, *others = sorted(range(len(states)), key=nlls.__getitem__)
    for other in others:
        rise = barrier((states[best], nlls[best]), (states[other], nlls[other]), score)
        if not rise <= tolerance:
            raise _not_connected(best, other, rise, tolerance)
    state = average(states)
    return _accepted(Soup(members=(best, *others), state=state, nll=score(state)), nlls)


def greedy_soup(states: Sequence[State], score: Score, tolerance: float = TOLERANCE) -> Soup:
    """The mean to which the next best state is added whenever that lowers the NLL.

    States that are not connected with the best are left out; a soup of the best alone is one to which no other adds.

    Raises:
        EnsembleError: if states are not of one architecture, or none is connected with the best.
    """
    nlls = _scores(states, score)
    best, *others = sorted(range(len(states)), key=nlls.__getitem__)
    rises = {other: barrier((states[best], nlls[best]), (states[other], nlls[other]), score) for other in others}
    connected = [other for other in others if rises[other] <= tolerance]
    if not connected:
        raise _not_connected(best, others[0], rises[others[0]], tolerance)
    soup = Soup(members=(best,), state=dict(states[best]), nll=nlls[best])
    for other in connected:
        members = (*soup.members, other)
        state = average([states[member] for member in members])
        nll = score(state)
        if nll < soup.nll:
            soup = Soup(members=members, state=state, nll=nll)
    return _accepted(soup, nlls)


def average(states: Sequence[State]) -> dict[str, torch.Tensor]:
    """The mean of floating point tensors, taken in float64; of the others, such as counts of batches, the first's.

    Raises:
        EnsembleError: if there is no state, or names or shapes differ.
    """
    first = _check_alike(states)
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor.clone()
        for name, tensor in first.items()
    }


def barrier(first: tuple[State, float], second: tuple[State, float], score: Score) -> float:
    """The most by which the NLL between two networks stands above the straight line between theirs, in nats.

    Linear mode connectivity (Frankle et al. 2020), at `POINTS`; below 0 where the NLL sags everywhere, infinite where
    it is no number.
    """
    (start, start_nll), (end, end_nll) = first, second
    _check_alike([start, end])
    rises = [score(_between(start, end, share)) - (1 - share) * start_nll - share * end_nll for share in POINTS]
    return max(rises) if all(map(math.isfinite, rises)) else math.inf


def _between(start: State, end: State, share: float) -> dict[str, torch.Tensor]:
    return {
        name: torch.lerp(tensor.double(), end[name].double(), share).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor.clone()
        for name, tensor in start.items()
    }


def _check_alike(states: Sequence[State]) -> State:
    """The first state, if all are of its architecture."""
    if not states:
        raise EnsembleError("A soup needs at least one state, but there is none.")
    shapes = [{name: tuple(tensor.shape) for name, tensor in state.items()} for state in states]
    for number, other in enumerate(shapes):
        differing = sorted(name for name in shapes[0].keys() | other.keys() if shapes[0].get(name) != other.get(name))
        if differing:
            name = differing[0]
            raise EnsembleError(
                f"States of a soup must be of one architecture, but {name} is {_shown(shapes[0].get(name))} in the "
                f"first and {_shown(other.get(name))} in number {number}. Average trials that share `model`."
            )
    return states[0]


def _shown(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else str(list(shape))


def _scores(states: Sequence[State], score: Score) -> list[float]:
    _check_alike(states)
    if len(states) < 2:
        raise EnsembleError("A soup needs at least two states, but there is one. Take it as it is.")
    nlls = [score(state) for state in states]
    for number, nll in enumerate(nlls):
        if not math.isfinite(nll):
            raise EnsembleError(f"States of a soup must have a finite NLL, but that of number {number} is {nll}.")
    return nlls


def _accepted(soup: Soup, nlls: Sequence[float]) -> Soup:
    mean = sum(nlls[member] for member in soup.members) / len(soup.members)
    if not soup.nll <= mean:
        raise EnsembleError(
            f"A soup must not be worse than its states are on average, but its NLL is {soup.nll:.4f} and theirs "
            f"{mean:.4f}. Pool their predictions instead."
        )
    return soup


def _not_connected(best: int, other: int, rise: float, tolerance: float) -> EnsembleError:
    return EnsembleError(
        f"States of a soup must be connected, with an NLL at most {tolerance} nats above the straight line on the way "
        f"from one to another, but from number {best} to number {other} it rises {rise:.4f} above. Average trials that "
        "were fine-tuned from one network, or pool the predictions of these."
    )
