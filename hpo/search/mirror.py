"""A search by one of Optuna's samplers: the trials of a study in memory, where a proposal costs no commit."""

import math
from collections.abc import Callable, Collection, Mapping
from typing import final

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from hpo.records import End, EndKind
from hpo.search.distributions import Stored
from hpo.search.drawing import draw
from hpo.search.proposer import Problem
from hpo.search.seeds import derive_seed


@final
class Mirror:
    """Proposes, and is shown the same trials as the database, in the same order.

    Every proposal comes from a sampler made for it alone, seeded by its number: there is no state to restore
    but the trials themselves. It draws for a trial of another study, on which it may note what it likes.
    """

    def __init__(self, problem: Problem, make_sampler: Callable[[int], BaseSampler], num_hidden: int = 0) -> None:
        """A search without trials.

        Args:
            problem: what is searched.
            make_sampler: given a seed, for one proposal.
            num_hidden: trials that were before all that are shown here: a proposal goes by the number it will have.
        """
        self._problem = problem
        self._distributions = problem.distributions
        self._make_sampler = make_sampler
        storage = InMemoryStorage()
        self._beside = optuna.create_study(storage=storage).ask()
        self._study = optuna.create_study(storage=storage, directions=problem.directions)
        self._num_trials = num_hidden
        self._storage = storage

    def propose(self, point: Mapping[str, Stored], waiting: Collection[int] = ()) -> dict[str, Stored]:
        """See `Proposer`; to Optuna, a trial that waits is one that runs."""
        sampler = self._make_sampler(derive_seed(self._problem.seed, self._num_trials))
        params = draw(sampler, self._study, self._beside._trial_id, self._num_trials, self._problem, point)
        self.add(params)
        return params

    def add(self, params: Mapping[str, Stored]) -> None:
        """A trial that runs."""
        self._num_trials += 1
        self._study.add_trial(self._running(params))

    def skip(self) -> None:
        """A trial that never was, but has used up its number."""
        self._num_trials += 1
        self._study.add_trial(create_trial(state=TrialState.FAIL))

    def report(self, trial_id: int, epoch: int, value: float) -> None:
        """See `Proposer`; Optuna's samplers are shown a trial's values when it has ended."""

    def end(self, trial_id: int, values: Mapping[int, float], end: End) -> None:
        """Show the sampler how a trial ended.

        One that diverged violates a constraint, which ranks it below every other; it is not COMPLETE with a bad value,
        for TPE ranks every COMPLETE above the many that were stopped early. One without any value teaches nothing, and
        with several metrics none but a complete or diverged one does.
        """
        trial = Trial(self._study, trial_id + 1)  # the one beside was the first of the storage
        measured = {epoch: value for epoch, value in values.items() if math.isfinite(value)}
        if self._problem.others:
            measured = {}  # Optuna takes reports of one metric only
        for epoch, value in measured.items():
            trial.report(value, epoch)
        match end.kind:
            case EndKind.COMPLETE:
                self._study.tell(trial, self._problem.reached(end))
            case EndKind.DIVERGED:
                trial.set_constraint("diverged", 1.0)
                self._study.tell(trial, state=TrialState.PRUNED)
            case EndKind.STOPPED if measured:
                self._study.tell(trial, state=TrialState.PRUNED)
            case _:
                self._study.tell(trial, state=TrialState.FAIL)

    def resume(self, trial_id: int) -> None:
        """See `Proposer`; Optuna lets no trial run again, so one that does is put in its place."""
        told = self._study.get_trials(deepcopy=False)[trial_id]
        again = self._running(told.params)
        again.number, again._trial_id = told.number, told._trial_id
        self._storage._set_trial(told._trial_id, again)

    def _running(self, params: Mapping[str, Stored]) -> FrozenTrial:
        distributions = {name: self._distributions[name] for name in params}
        return create_trial(state=TrialState.RUNNING, params=dict(params), distributions=distributions)
