"""The driver's side of population based training: who has children, and which states they may go on from."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from random import Random
from typing import final

from hpo.records import Params, Parent, TrialRecord
from hpo.scheduling import Pbt
from hpo.scheduling.line import Line
from hpo.search.exploring import explored
from hpo.search.seeds import derive_seed
from hpo.search.study import Study
from hpo.shelf import Shelf
from hpo.sweep import Terms
from hpo.trials import ActiveTrial


@final
class Population:
    """Begins children in the places of trials that give way, and of those that are lost on their way to a turn."""

    def __init__(self, sweep: Terms, study: Study, line: Line, shelf: Shelf) -> None:
        assert isinstance(sweep.scheduler, Pbt)
        self._scheduler = sweep.scheduler
        self._sweep = sweep
        self._study = study
        self._line = line
        self._shelf = shelf
        self._num_vacancies: Counter[int] = Counter()  # by turn
        self._states: dict[int, dict[int, str]] = defaultdict(dict)  # turn -> trial_id -> checkpoint

    def arrive(self, turn: int, trials: Sequence[ActiveTrial]) -> None:
        """Keep the states of trials that the line has judged at a turn: they may become parents."""
        for trial in trials:
            assert trial.checkpoint is not None, "it is reported at every rung"
            self._shelf.hold(trial.checkpoint)
            self._states[turn][trial.spec.trial_id] = trial.checkpoint

    def miss(self, trial: ActiveTrial) -> list[ActiveTrial]:
        """Count a trial that was lost as the worst at the turn to which it will not come; children, as `fill`."""
        turn = self._line.rung_above(trial.epoch)
        if turn == self._sweep.epochs:
            return []
        self._line.judge(turn, {trial.spec.trial_id: [math.nan]})
        self._num_vacancies[turn] += 1
        return self.fill(turn)

    def fill(self, turn: int) -> list[ActiveTrial]:
        """Begin children in the places of those that were lost before a turn, as soon as there is a parent."""
        children = []
        while self._num_vacancies[turn] > 0 and (child := self.bear(turn)) is not None:
            self._num_vacancies[turn] -= 1
            children.append(child)
        states = self._states[turn]
        for trial_id in states.keys() - self._scheduler.possible_parents(self._line.costs[turn]):
            self._shelf.release(states.pop(trial_id))
        return children

    def bear(self, turn: int) -> ActiveTrial | None:
        """Begin a child of one of the best at a turn; none while there are none."""
        generator = Random(derive_seed(self._sweep.seed, len(self._study.trials())))
        parent_id = self._scheduler.choose_parent(self._line.costs[turn], generator)
        if parent_id is None:
            return None
        params = self._explored(self._study.trial(parent_id), generator)
        record = self._study.descend(params, Parent(trial_id=parent_id, epoch=turn))
        state = self._states[turn][parent_id]
        self._shelf.hold(state)
        return ActiveTrial(spec=self._sweep.specify(record), begun_at=turn, inherited=state)

    def _explored(self, parent: TrialRecord, generator: Random) -> Params:
        """Params near the parent's, with which a child can go on from its state."""
        return explored(
            self._sweep.space,
            self._sweep.conditions,
            parent.params,
            resample=self._scheduler.resample,
            factor=self._scheduler.factor,
            generator=generator,
            may_be=lambda params: self._sweep.may_follow(self._study.completed(params), parent.params),
        )
