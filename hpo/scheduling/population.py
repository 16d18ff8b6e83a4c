"""Population based training (Jaderberg et al. 2017)."""

import math
from collections.abc import Mapping
from random import Random
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hpo.config import Config
from hpo.scheduling.halving import Verdict, rank_of
from hpo.scheduling.ladder import first_rung
from hpo.scheduling.ranking import Ranking


class Pbt(Config):
    """At every turn, whoever is among the worst of the population gives way to a child of one of the best.

    The child is a trial of its own: it goes on from the parent's state, with params that differ a little. As in the
    paper turns are asynchronous: each trial takes its own when there is room for it to go on, judged by the values of
    all that have come to the same epoch by then, and nobody waits for another. Who has diverged or failed on the way
    counts as the worst. Children cost nothing extra: as many trials reach the end as there are in the population, which
    takes the place of `budget.trials`.
    """

    kind: Literal["pbt"] = "pbt"
    population: Annotated[int, Field(ge=2)] = 16
    """Trials that train at a time."""
    every: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Epochs from one turn to the next; auto: a ninth of the full length."""
    quantile: Annotated[float, Field(gt=0, le=0.5)] = 0.25
    """Share of those at a turn that counts as the worst, and as the best."""
    resample: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Chance with which a child's param is drawn anew from its domain."""
    factor: Annotated[float, Field(gt=1)] = 1.2
    """What a number is else multiplied or divided by; a step is at least one, and a choice without order stays."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self._num_among(self.population) == 0:
            raise ValueError(
                f"quantile must be at least 1 / population, which is {1 / self.population:.3g}, but got "
                f"{self.quantile:g}: nobody would ever give way. Raise one of the two."
            )
        return self

    def rungs(self, max_epochs: int) -> tuple[int, ...]:
        """The turns, and the end."""
        every = first_rung(self.every, max_epochs)
        return (*range(every, max_epochs, every), max_epochs)

    def planned_epochs(self, num_trials: int, max_epochs: int) -> float:
        """Over the whole population: a child trains the epochs that are left to whoever gave way to it."""
        return float(self.population * max_epochs)

    def trials_per_rung(self, num_trials: int, max_epochs: int) -> tuple[int, ...]:
        """The population."""
        return (self.population,) * len(self.rungs(max_epochs))

    def num_children(self, max_epochs: int) -> int:
        """Expected, if at every turn all are judged together and nobody diverges."""
        return (len(self.rungs(max_epochs)) - 1) * self._num_among(self.population)

    def decide(self, cost: float, seen: Ranking) -> Verdict:
        """Whoever is sound waits for its turn; see `Asha.decide`."""
        rank = rank_of(cost, seen)
        return Verdict(continues=math.isfinite(cost), cost=cost, rank=rank, num_seen=len(seen), cutoff=math.inf)

    def take_turn(self, trial_id: int, costs: Mapping[int, float]) -> Verdict:
        """Stop a trial that is among the worst `quantile`; of equals, whoever came first is better.

        Args:
            trial_id: its own cost is among `costs`; if that is not finite, it stops.
            costs: trial_id -> cost, of every trial that has come to the turn, in order of arrival; lower is better.
        """
        ranked = _ranked(costs)
        num_kept = len(ranked) - self._num_among(len(ranked))
        place = ranked.index(trial_id)
        return Verdict(
            continues=place < num_kept and math.isfinite(costs[trial_id]),
            cost=costs[trial_id],
            rank=place + 1,
            num_seen=len(ranked),
            cutoff=_finite_or_worst(costs[ranked[num_kept - 1]]),
        )

    def choose(self, waiting: Mapping[int, int], num_slots: int) -> list[int]:
        """A slot's share of those who are farthest behind, so that all keep in step.

        Args:
            waiting: trial_id -> the turn at which it waits, in order of arrival.
            num_slots: segments that run at once.
        """
        farthest_behind = min(waiting.values(), default=0)
        behind = [trial_id for trial_id, turn in waiting.items() if turn == farthest_behind]
        return behind[: math.ceil(self.population / num_slots)]

    def choose_parent(self, costs: Mapping[int, float], generator: Random) -> int | None:
        """One of the best `quantile`, each as likely; none while too few have come, or all have diverged.

        Args:
            costs: trial_id -> cost, of every trial that has come to the turn; lower is better.
            generator: of the draw.
        """
        best = _best(costs, self._num_among(len(costs)))
        return generator.choice(best) if best else None

    def possible_parents(self, costs: Mapping[int, float]) -> list[int]:
        """Who may be chosen now, or when the rest of the population has come."""
        return _best(costs, self._num_among(self.population))

    def _num_among(self, num_seen: int) -> int:
        """How many of so many are the worst, and the best."""
        return math.floor(num_seen * self.quantile + 1e-9)  # 100 * 0.29 is 28.99...


def _best(costs: Mapping[int, float], num: int) -> list[int]:
    """The first `num`, without those whose cost is not finite."""
    return [trial_id for trial_id in _ranked(costs)[:num] if math.isfinite(costs[trial_id])]


def _ranked(costs: Mapping[int, float]) -> list[int]:
    """Trials, the best first; equals as they came."""
    return sorted(costs, key=lambda trial_id: _finite_or_worst(costs[trial_id]))


def _finite_or_worst(cost: float) -> float:
    return cost if math.isfinite(cost) else math.inf
