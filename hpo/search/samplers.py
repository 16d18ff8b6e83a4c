"""What proposes params: configs that make Optuna's samplers."""

from typing import Annotated, Literal

import optuna
from pydantic import Field

from hpo.config import Config
from hpo.search.caution import Cautious


class Random(Config):
    """Independent draws (Bergstra & Bengio 2012); learns nothing, not even from trials that diverge."""

    kind: Literal["random"] = "random"

    def make(self, seed: int) -> optuna.samplers.BaseSampler:
        """Optuna's sampler, fresh, for one proposal."""
        return optuna.samplers.RandomSampler(seed=seed)


class Tpe(Config):
    """Tree-structured Parzen estimator (Bergstra et al. 2011; Watanabe 2023), wary of where trials diverged."""

    kind: Literal["tpe"] = "tpe"
    num_startup: Annotated[int, Field(ge=0)] = 10
    """Trials drawn at random before the first that is modelled."""

    def make(self, seed: int) -> optuna.samplers.BaseSampler:
        """Optuna's sampler, fresh, for one proposal."""
        return Cautious(optuna.samplers.TPESampler(seed=seed, n_startup_trials=self.num_startup))


Sampler = Annotated[Random | Tpe, Field(discriminator="kind")]
