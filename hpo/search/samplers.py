"""What proposes params: configs that begin a search, most of them with one of Optuna's samplers."""

from typing import Annotated, Literal

import optuna
from pydantic import Field

from hpo.config import Config
from hpo.search.caution import Cautious
from hpo.search.curves import CurveSearch
from hpo.search.mirror import Mirror
from hpo.search.proposer import Problem, Proposer


class Random(Config):
    """Independent draws (Bergstra & Bengio 2012); learns nothing, not even from trials that diverge."""

    kind: Literal["random"] = "random"

    def begin(self, problem: Problem) -> Proposer:
        """A search without trials."""
        return Mirror(problem, lambda seed: optuna.samplers.RandomSampler(seed=seed))


class Tpe(Config):
    """Tree-structured Parzen estimator (Bergstra et al. 2011; Watanabe 2023), wary of where trials diverged."""

    kind: Literal["tpe"] = "tpe"
    num_startup: Annotated[int, Field(ge=0)] = 10
    """Trials drawn at random before the first that is modelled."""

    def begin(self, problem: Problem) -> Proposer:
        """A search without trials."""
        return Mirror(
            problem, lambda seed: Cautious(optuna.samplers.TPESampler(seed=seed, n_startup_trials=self.num_startup))
        )


class Curves(Config):
    """Expected improvement at full length, by a Gaussian process over the curves of all trials, stopped ones too."""

    kind: Literal["curves"] = "curves"
    num_startup: Annotated[int, Field(ge=1)] = 6
    """Trials spread evenly over the space before the first that is modelled."""

    def begin(self, problem: Problem) -> Proposer:
        """A search without trials."""
        return CurveSearch(problem, num_startup=self.num_startup)


Sampler = Annotated[Random | Tpe | Curves, Field(discriminator="kind")]
