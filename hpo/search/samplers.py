"""What proposes params: configs that begin a search, most of them with one of Optuna's samplers.

Whoever reads a sweep file imports this, so what needs scipy, most of a second, is imported when a search begins.
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal, Self

import optuna
from optuna.samplers import BaseSampler, NSGAIIISampler, NSGAIISampler
from pydantic import Field, model_validator

from hpo.config import Config
from hpo.search.box import Box
from hpo.search.breeding import Breeding, Whole, num_divisions
from hpo.search.caution import Caution, Cautious
from hpo.search.drawing import Believing
from hpo.search.evolution import Evolution, Generations, load_cmaes
from hpo.search.grid import GridSearch
from hpo.search.hindsight import Hindsight
from hpo.search.mirror import Mirror
from hpo.search.parzen import Experience, Parzen
from hpo.search.proposer import Problem, Proposer
from hpo.search.recent import Recent
from hpo.search.starting import Start, Starting


class Random(Config):
    """Independent draws (Bergstra & Bengio 2012); learns nothing, not even from trials that diverge."""

    kind: Literal["random"] = "random"

    def begin(self, problem: Problem) -> Proposer:
        """A search without trials."""
        if problem.beliefs:
            return Mirror(problem, lambda _: Starting(problem, "random"))
        return Mirror(problem, lambda seed: optuna.samplers.RandomSampler(seed=seed))


class Qmc(Config):
    """A scrambled Sobol sequence: even cover of the space, also of every few of its params; learns nothing."""

    kind: Literal["qmc"] = "qmc"

    def begin(self, problem: Problem) -> Proposer:
        """A search without trials."""
        return Mirror(problem, lambda _: Starting(problem, "qmc"))


class Grid(Config):
    """Every combination of choices, whole numbers and steps, once, in an order that is shuffled by the seed."""

    kind: Literal["grid"] = "grid"

    def begin(self, problem: Problem) -> Proposer:
        """A search without trials."""
        return GridSearch(problem)


class Tpe(Config):
    """Tree-structured Parzen estimator (Bergstra et al. 2011; Watanabe 2023), wary of where trials diverged.

    With one metric it learns from the last 1000 to 1999 trials, from the best 25 before them, and no others.
    """

    kind: Literal["tpe"] = "tpe"
    num_startup: Annotated[int, Field(ge=0)] = 10
    """Trials that must have ended before the first that is modelled."""
    startup: Start = "random"
    """How trials are drawn until then: independently, or as a Sobol sequence, spread evenly."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.startup == "qmc" and self.num_startup == 0:
            raise ValueError(
                "startup must be random with num_startup 0, but got qmc: no trial is drawn so. Raise num_startup."
            )
        return self

    def begin(self, problem: Problem) -> Proposer:
        """A search without trials."""

        def begin(num_hidden: int) -> Proposer:
            experience, caution = Experience(problem), Caution()

            def make(seed: int) -> BaseSampler:
                sampler = Cautious(Parzen(experience, self.num_startup, seed), caution)
                return _after_startup(self.startup, self.num_startup, sampler, problem, seed)

            return Mirror(problem, make, num_hidden)

        return begin(0) if problem.others else Recent(problem, begin)


class Gp(Config):
    """Expected improvement by a Gaussian process, where it is not likely to diverge; for few trials.

    It learns from what trials have reached at full length, so a stopped one counts as what it would likely have
    reached, and one that runs as what is expected of it.
    """

    kind: Literal["gp"] = "gp"
    num_startup: Annotated[int, Field(ge=1)] = 10
    """Trials spread evenly over the space before the first that is modelled."""

    def begin(self, problem: Problem) -> Proposer:
        """A search without trials."""
        from hpo.search.curves import CurveSearch  # noqa: PLC0415 - see the module

        return CurveSearch(problem, self.num_startup, by_curves=False)


class Cmaes(Config):
    """Evolution of a normal distribution (CMA-ES, Hansen 2016): for numbers and many trials; choices stay random.

    A stopped trial is shown with what it would likely have reached, a diverged one as the worst.
    """

    kind: Literal["cmaes"] = "cmaes"
    population: Annotated[int, Field(ge=4)] | Literal["auto"] = "auto"
    """Trials of a generation; auto: 4 + 3 log d, rounded down, of d params that are numbers."""

    def begin(self, problem: Problem) -> Proposer:
        """A search without trials.

        Raises:
            StudyError: if the package cmaes is not installed.
        """
        load_cmaes()
        population = None if self.population == "auto" else self.population
        generations, caution = Generations(problem, population), Caution()
        return Hindsight(problem, lambda seed: Cautious(Evolution(generations, seed), caution))


class Curves(Config):
    """Expected improvement at full length, by a Gaussian process over the curves of all trials, stopped ones too."""

    kind: Literal["curves"] = "curves"
    num_startup: Annotated[int, Field(ge=1)] = 6
    """Trials spread evenly over the space before the first that is modelled."""

    def begin(self, problem: Problem) -> Proposer:
        """A search without trials."""
        from hpo.search.curves import CurveSearch  # noqa: PLC0415 - see the module

        return CurveSearch(problem, self.num_startup, by_curves=True)


class Coordinate(Config):
    """Coordinate descent: from the best point so far, a step up and a step down along every param, all at once.

    It begins at the first of `points`, or in the middle of the space. It moves while a neighbour is better, by more
    than one standard error, and halves its steps when none is. When the smallest steps gain nothing, it begins again,
    far from all that was tried. While results are awaited, it tries steps along several params at once, and smaller
    ones. No params are tried twice but the first, unless few others are left. A trial that was stopped counts as worse
    than any that was complete; where one diverged or failed, it does not go.
    """

    kind: Literal["coordinate"] = "coordinate"
    factor: Annotated[float, Field(gt=1)] = 2.0
    """First step along a log scale; then its square root, then the root of that.

    Where ranges have several decades, 4 gets there sooner. Along other numbers steps are a quarter, an eighth and a
    sixteenth of the range, or to the next value.
    """
    noise: Annotated[float, Field(ge=0)] | Literal["auto"] = "auto"
    """Standard deviation of the metric under other luck; auto: as seen where params were tried again, for which the
    first are tried three times."""

    def begin(self, problem: Problem) -> Proposer:
        """A search without trials."""
        from hpo.search.descent import CoordinateDescent  # noqa: PLC0415 - see the module

        return CoordinateDescent(problem, self.factor, None if self.noise == "auto" else self.noise)


class Refine(Config):
    """Random draws from a box round the best trial, which shrinks while nothing is gained, wary of divergence.

    The best is that of the complete trials or, before there are any, of the stopped ones, by their last value.
    """

    kind: Literal["refine"] = "refine"
    num_startup: Annotated[int, Field(ge=1)] = 10
    """Trials, spread evenly, that must have ended before the first from the box, which is half of every range wide."""
    patience: Annotated[int, Field(ge=1)] = 5
    """Trials in a row that end without a gain, after which the box shrinks."""
    shrink: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """What its sides are multiplied by."""
    min_side: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """Share of every range that it keeps; of steps it keeps the next ones."""

    def begin(self, problem: Problem) -> Proposer:
        """A search without trials."""
        caution = Caution()

        def make(seed: int) -> BaseSampler:
            box = Box(
                problem,
                num_startup=self.num_startup,
                patience=self.patience,
                shrink=self.shrink,
                min_side=self.min_side,
                seed=seed,
            )
            return _after_startup("qmc", self.num_startup, Cautious(box, caution), problem)

        return Mirror(problem, make)


class _Genetic(Config):
    population: Annotated[int, Field(ge=4)] = 20
    """Trials of a generation; the first is drawn as `startup` says, the others are bred from the best before them."""
    mutation: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] = "auto"
    """Chance of each param to be drawn anew, whatever the parents have; auto: 1 / d of d params."""
    startup: Start = "random"
    """How the first generation is drawn: independently, or as a Sobol sequence, spread evenly."""


class Nsga2(_Genetic):
    """Genetic search for the Pareto front of several metrics (NSGA-II, Deb et al. 2002), wary of divergence.

    It keeps, front by front, the trials that no other beats in all metrics; of the last front those with the most room
    about them.
    """

    kind: Literal["nsga2"] = "nsga2"

    def begin(self, problem: Problem) -> Proposer:
        """A search without trials."""
        return _breeding(self, problem, optuna.samplers.NSGAIISampler)


class Nsga3(_Genetic):
    """Genetic search for the Pareto front of three metrics or two (NSGA-III, Deb & Jain 2014), wary of divergence.

    As NSGA-II, but of the last front it keeps those nearest to reference points, which are spread evenly, as many as
    the population can meet.
    """

    kind: Literal["nsga3"] = "nsga3"

    def begin(self, problem: Problem) -> Proposer:
        """A search without trials."""
        divisions = num_divisions(len(problem.directions), self.population)
        return _breeding(self, problem, partial(optuna.samplers.NSGAIIISampler, dividing_parameter=divisions))


Sampler = Annotated[
    Random | Qmc | Grid | Tpe | Gp | Cmaes | Curves | Coordinate | Refine | Nsga2 | Nsga3, Field(discriminator="kind")
]


def _breeding(genetic: _Genetic, problem: Problem, kind: Callable[..., NSGAIISampler | NSGAIIISampler]) -> Proposer:
    def make(seed: int) -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = kind(
                seed=seed,
                population_size=genetic.population,
                mutation_prob=None if genetic.mutation == "auto" else genetic.mutation,
            )
        bred = Cautious(Whole(sampler, problem, seed), Caution())  # of a study that is made for this proposal
        return _after_startup(genetic.startup, genetic.population, bred, problem, seed)

    return Breeding(problem, make, genetic.population)


def _after_startup(
    start: Start, num_startup: int, sampler: BaseSampler, problem: Problem, seed: int | None = None
) -> BaseSampler:
    """Optuna's samplers begin at random themselves, but without beliefs; these last only with a `seed` to draw by."""
    if problem.beliefs and seed is not None:
        sampler = Believing(sampler, problem, seed)
    return sampler if start == "random" and not problem.beliefs else Starting(problem, start, sampler, num_startup)
