"""What the sampler sees: the trials of a study in memory, where a proposal costs no commit."""

import hashlib
import math
from collections.abc import Mapping
from typing import final

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import Trial, TrialState, create_trial

from hpo.records import End, EndKind
from hpo.search.distributions import Stored
from hpo.search.samplers import Sampler


@final
class Mirror:
    """Proposes, and is shown the same trials as the database, in the same order.

    Every proposal comes from a sampler made for it alone, seeded by its number: there is no state to restore
    but the trials themselves.
    """

    def __init__(
        self, distributions: dict[str, BaseDistribution], direction: StudyDirection, sampler: Sampler, seed: int
    ) -> None:
        self._distributions = distributions
        self._sampler = sampler
        self._seed = seed
        self._study = optuna.create_study(direction=direction)
        self._num_trials = 0

    def propose(self, point: Mapping[str, Stored]) -> dict[str, Stored]:
        """The params of the next trial, which runs from now on; those of `point` are given, the others proposed."""
        self._study.sampler = self._sampler.make(_derive_seed(self._seed, self._num_trials))
        self._num_trials += 1
        if point:
            self._study.enqueue_trial(dict(point))
        return self._study.ask(self._distributions).params

    def add(self, params: dict[str, Stored]) -> None:
        """A trial that runs."""
        self._num_trials += 1
        self._study.add_trial(create_trial(state=TrialState.RUNNING, params=params, distributions=self._distributions))

    def skip(self) -> None:
        """A trial that never was, but has used up its number."""
        self._num_trials += 1
        self._study.add_trial(create_trial(state=TrialState.FAIL))

    def end(self, trial_id: int, values: Mapping[int, float], end: End) -> None:
        """Show the sampler how a trial ended.

        One that diverged violates a constraint, which ranks it below every other; it is not COMPLETE with a bad value,
        for TPE ranks every COMPLETE above the many that were stopped early. One without any value teaches nothing.
        """
        trial = Trial(self._study, trial_id)
        measured = {epoch: value for epoch, value in values.items() if math.isfinite(value)}
        for epoch, value in measured.items():
            trial.report(value, epoch)
        match end.kind:
            case EndKind.COMPLETE:
                self._study.tell(trial, end.value)
            case EndKind.DIVERGED:
                trial.set_constraint("diverged", 1.0)
                self._study.tell(trial, state=TrialState.PRUNED)
            case EndKind.STOPPED if measured:
                self._study.tell(trial, state=TrialState.PRUNED)
            case _:
                self._study.tell(trial, state=TrialState.FAIL)


def _derive_seed(seed: int, number: int) -> int:
    """In [0, 2**32), the same on any machine."""
    digest = hashlib.blake2b(f"proposal/{seed}/{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")
