"""Hyperband (Li et al. 2018), asynchronous: successive halving over several ladders at once."""

import math
from collections import Counter
from fractions import Fraction
from functools import cache
from typing import Annotated, Literal

from pydantic import Field

from hpo.config import Config
from hpo.scheduling.controls import Controls
from hpo.scheduling.halving import Compare, Verdict, halved
from hpo.scheduling.ladder import Bracket, MinEpochs, epochs_to_climb, rungs_of, trials_at_rungs
from hpo.scheduling.ranking import Ranking


class Hyperband(Config):
    """Asha in several brackets, each of which spares its trials the first rungs of the one before, for slow starters.

    A bracket decides by the values of its own trials. Trials are dealt out to brackets by their numbers, evenly, in the
    proportions of the paper's Algorithm 1.
    """

    kind: Literal["hyperband"] = "hyperband"
    min_epochs: MinEpochs = "auto"
    """The first rung; auto: a ninth of full length or, if later, an epoch after warm-up, or 200 steps or a third."""
    eta: Annotated[int, Field(ge=2)] = 3
    """Of eta trials at a rung, one goes on; each rung is eta times as far as the one before."""
    compare: Compare = "last"
    """By what trials are compared: their value at the rung, their best so far, or that of their averaged weights."""
    controls: Controls = 0.05
    """Share of the trials to be stopped that train to the end all the same, to see what stopping costs."""
    brackets: Annotated[int, Field(ge=2)] | Literal["auto"] = "auto"
    """Ladders, which begin at the first rung, the second, and so on; auto: at every one, the last without any stop."""

    def rungs(self, max_epochs: int) -> tuple[int, ...]:
        """min_epochs times powers of eta, and the end: the ladder of the first bracket."""
        return rungs_of(self.min_epochs, self.eta, max_epochs)

    def ladder(self, trial_id: int, max_epochs: int) -> tuple[int, ...]:
        """The rungs of the bracket that a trial is in, by its number alone."""
        turns = _turns(self._sizes(max_epochs))
        return self._ladders(max_epochs)[turns[trial_id % len(turns)]]

    def plan(self, num_trials: int, max_epochs: int) -> tuple[Bracket, ...]:
        """Every bracket, with the trials that are expected to reach its rungs."""
        turns = _turns(self._sizes(max_epochs))
        nums = Counter(turns[trial_id % len(turns)] for trial_id in range(num_trials))
        return tuple(
            Bracket(rungs=rungs, num_trials=trials_at_rungs(rungs, self.eta, nums[number], self.controls))
            for number, rungs in enumerate(self._ladders(max_epochs))
        )

    def planned_epochs(self, num_trials: int, max_epochs: int) -> float:
        """Epochs that `num_trials` are expected to train, over all of them, if each rung keeps 1/eta."""
        return sum(
            epochs_to_climb(bracket.rungs, self.eta, bracket.num_trials[0], self.controls)
            for bracket in self.plan(num_trials, max_epochs)
        )

    def decide(self, cost: float, seen: Ranking) -> Verdict:
        """As `Asha.decide` in its stopping form; `seen` are the costs of the trial's own bracket."""
        return halved(cost, seen, max(1, len(seen) // self.eta))

    def _ladders(self, max_epochs: int) -> tuple[tuple[int, ...], ...]:
        rungs = self.rungs(max_epochs)
        num = len(rungs) if self.brackets == "auto" else self.brackets
        return tuple(rungs[first:] for first in range(num))

    def _sizes(self, max_epochs: int) -> tuple[int, ...]:
        """Trials of each bracket in one round of Algorithm 1: n of bracket s, with B = (s_max + 1) R."""
        lengths = [len(rungs) for rungs in self._ladders(max_epochs)]  # s + 1
        return tuple(math.ceil(Fraction(lengths[0] * self.eta ** (length - 1), length)) for length in lengths)


@cache
def _turns(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The bracket of each trial of a round: those of one bracket lie as far apart as they can."""
    places = [
        (Fraction(2 * number + 1, 2 * size), bracket) for bracket, size in enumerate(sizes) for number in range(size)
    ]
    return tuple(bracket for _, bracket in sorted(places))
