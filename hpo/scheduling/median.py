"""The median stopping rule of Google Vizier (Golovin et al. 2017, section 3.2.2)."""

import math
import statistics
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from hpo.config import Config
from hpo.scheduling.controls import Controls
from hpo.scheduling.halving import Verdict
from hpo.scheduling.ladder import MinEpochs, first_rung
from hpo.scheduling.ranking import Ranking


class Median(Config):
    """At each rung a trial stops if its best value so far is worse than the median of the others' averages so far.

    All trials that have been at the rung count as others, where Vizier waits until they are complete.
    """

    kind: Literal["median"] = "median"
    min_epochs: MinEpochs = "auto"
    """The first rung; auto: a ninth of full length or, if later, an epoch after warm-up, or 200 steps or a third."""
    every: Annotated[int, Field(ge=1)] = 3
    """Epochs from each rung to the next; few make many short segments."""
    controls: Controls = 0.05
    """Share of the trials to be stopped that train to the end all the same, to see what stopping costs."""

    def rungs(self, max_epochs: int) -> tuple[int, ...]:
        """min_epochs, then every so often, and the end."""
        return (*range(first_rung(self.min_epochs, max_epochs), max_epochs, self.every), max_epochs)

    def planned_epochs(self, num_trials: int, max_epochs: int) -> float:
        """At most; how many it will be is for the curves to say."""
        return float(num_trials * max_epochs)

    def trials_per_rung(self, num_trials: int, max_epochs: int) -> tuple[int, ...]:
        """At most."""
        return (num_trials,) * len(self.rungs(max_epochs))

    def decide(self, course: Sequence[float], averages: Ranking) -> Verdict:
        """Stop if the best of `course` is worse than the median of `averages`; the first at a rung goes on.

        Args:
            course: the trial's value at every epoch so far, lower is better; if the last is not finite, it stops.
            averages: of the others' courses up to the rung, each from `average`.
        """
        best = min((cost for cost in course if math.isfinite(cost)), default=math.inf)
        return Verdict(
            continues=math.isfinite(course[-1]) and best <= averages.median,
            cost=best,
            rank=1 + averages.num_better(best),
            num_seen=1 + len(averages),
            cutoff=averages.median,
        )


def average(course: Sequence[float]) -> float:
    """Of the costs so far; infinite if one of them is not finite."""
    return statistics.fmean(course) if all(map(math.isfinite, course)) else math.inf
