"""The kinds of ensembles: whom each admits, what it lets train again, and how it weighs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from hpo.config import Config
from hpo.ensembles.arrays import Labels, LogProbs
from hpo.ensembles.selection import Selection, greedy, top
from hpo.ensembles.stacking import stack

Size = Annotated[int, Field(ge=1, le=50)]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A network that a trial has left."""

    trial_id: int
    epoch: int
    """Trained so far."""
    weights: Literal["raw", "averaged"] = "raw"
    """Of the last step, or their average."""
    repeats: int | None = None
    """The trial whose params its own has trained again."""
    is_last: bool = True
    """Whether it is what the trial ended with, no snapshot."""


class _Kind(Config):
    """What kinds have in common."""

    stopped: bool = False
    """Whether networks of trials that were stopped early are admitted too."""

    def admits(self, candidate: Candidate, best: int) -> bool:
        """Whether a network may be a member, where `best` is the best trial."""
        return True

    def repeats(self, best: int, picks: Sequence[int]) -> list[tuple[int, int]]:
        """Which trials train again, on which seed index.

        Args:
            best: the best trial.
            picks: trials that the kind itself selects without any repetition; the best first.
        """
        return []


class Greedy(_Kind):
    """Whatever lowers the NLL of the pooled predictions most, again and again (Caruana et al. 2004); see `greedy`."""

    kind: Literal["greedy"] = "greedy"
    size: Size = 5
    """Distinct members at most."""
    min_gain: Annotated[float, Field(ge=0)] = 0.0
    """Standard errors by which a larger ensemble must be better; 0: however little. At 1 a few hundred validation
    examples mostly select a single network, which is worse on test examples (experiments/benchmarks/ensembles.md).
    """

    def __call__(self, log_probs: LogProbs, labels: Labels) -> Selection:
        return greedy(log_probs, labels, self.size, min_gain=self.min_gain)


class Top(_Kind):
    """The members of lowest NLL, all with the same weight."""

    kind: Literal["top"] = "top"
    size: Size = 5
    """Members."""

    def __call__(self, log_probs: LogProbs, labels: Labels) -> Selection:
        return top(log_probs, labels, self.size)


class Stack(_Kind):
    """Weights on the simplex of lowest NLL (Wolpert 1992, Breiman 1996), held back by an entropy term; see `stack`."""

    kind: Literal["stack"] = "stack"
    size: Size = 5
    """Members at most."""
    entropy: Annotated[float, Field(ge=0)] = 0.01
    """Nats that spreading the weights is worth."""

    def __call__(self, log_probs: LogProbs, labels: Labels) -> Selection:
        return stack(log_probs, labels, self.size, self.entropy)


class Snapshot(_Kind):
    """The best trial at the ends of its last cycles, all with the same weight (Huang et al. 2017).

    Needs `snapshots: all`.
    """

    kind: Literal["snapshot"] = "snapshot"
    size: Size = 5
    """Cycles at most, the last."""

    def admits(self, candidate: Candidate, best: int) -> bool:
        return candidate.trial_id == best and candidate.weights == "raw"

    def __call__(self, log_probs: LogProbs, labels: Labels) -> Selection:
        return _uniform(len(log_probs), self.size)


class Fge(Snapshot):
    """The best trial at the ends of the short cycles that its training ends with, all with the same weight.

    Fast geometric ensembling (Garipov et al. 2018). Needs `schedule: {kind: fge}` and `snapshots: all`.
    """

    kind: Literal["fge"] = "fge"  # type: ignore[assignment]


class Deep(_Kind):
    """The best recipe, trained again and again, all with the same weight (Lakshminarayanan et al. 2017)."""

    kind: Literal["deep"] = "deep"
    size: Size = 5
    """Members, the trial of the search among them; all others are trained for it."""

    def admits(self, candidate: Candidate, best: int) -> bool:
        return best in (candidate.trial_id, candidate.repeats) and candidate.is_last and candidate.weights == "raw"

    def repeats(self, best: int, picks: Sequence[int]) -> list[tuple[int, int]]:
        return [(best, seed_index) for seed_index in range(1, self.size)]

    def __call__(self, log_probs: LogProbs, labels: Labels) -> Selection:
        return _uniform(len(log_probs), self.size)


class HyperDeep(Greedy):
    """Greedy; then each trial that it picked trains again, and greedy selects from all (Wenzel et al. 2020)."""

    kind: Literal["hyper_deep"] = "hyper_deep"  # type: ignore[assignment]
    seeds: Annotated[int, Field(ge=1)] = 2
    """Repetitions of each pick."""

    def repeats(self, best: int, picks: Sequence[int]) -> list[tuple[int, int]]:
        return [(trial_id, seed_index) for trial_id in picks for seed_index in range(1, self.seeds + 1)]


class Swa(_Kind):
    """One network: the averaged weights of lowest NLL (Izmailov et al. 2018). Needs `swa_start` or `ema_half_life`."""

    kind: Literal["swa"] = "swa"

    def admits(self, candidate: Candidate, best: int) -> bool:
        return candidate.weights == "averaged"

    def __call__(self, log_probs: LogProbs, labels: Labels) -> Selection:
        return top(log_probs, labels, 1)


class Soup(_Kind):
    """One network: the mean of several networks' weights (Wortsman et al. 2022); see `greedy_soup`.

    Refused unless they share a trained ancestor, so that the loss does not rise between them.
    """

    kind: Literal["soup"] = "soup"
    size: Size = 5
    """Networks at most that are tried."""

    def admits(self, candidate: Candidate, best: int) -> bool:
        return candidate.weights == "raw"

    def __call__(self, log_probs: LogProbs, labels: Labels) -> Selection:
        """Whose weights are tried."""
        return top(log_probs, labels, self.size)


AnyEnsemble = Annotated[
    Greedy | Top | Stack | Snapshot | Fge | Deep | HyperDeep | Swa | Soup, Field(discriminator="kind")
]


def _uniform(num: int, size: int) -> Selection:
    """The last `size` of so many."""
    weights = np.zeros(num)
    weights[-size:] = 1 / min(num, size)
    return Selection(weights=weights, path=())
