"""The driver's side of population based training: who has children, and which states they may go on from."""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from random import Random
from typing import final

from hpo.driver.judge import Judge
from hpo.driver.shelf import Shelf
from hpo.driver.trials import ActiveTrial
from hpo.records import Decision, EndKind, Outcome, Params, Parent, TrialRecord
from hpo.scheduling import Pbt
from hpo.scheduling.line import Line
from hpo.scheduling.packing import Standing
from hpo.search.exploring import explored
from hpo.search.seeds import derive_seed
from hpo.search.study import Study
from hpo.sweep import Terms
from hpo.tracking.tracker import Tracker

LOST = (EndKind.DIVERGED, EndKind.FAILED, EndKind.TIMED_OUT)
"""Ends of trials that never come to their next turn."""


@dataclass(frozen=True, kw_only=True)
class Succession:
    """Why a trial gives way, and to whom."""

    decision: Decision
    child: ActiveTrial


@final
class Population:
    """Begins children in the places of trials that give way, and of those that were lost on their way to a turn."""

    def __init__(
        self,
        sweep: Terms,
        study: Study,
        tracker: Tracker,
        line: Line,
        judge: Judge,
        shelf: Shelf,
        trials: dict[int, ActiveTrial],
    ) -> None:
        """Children are told to study and tracker, and enter `trials`, which are the driver's."""
        assert isinstance(sweep.chosen.scheduler, Pbt)
        self._scheduler = sweep.chosen.scheduler
        self._sweep = sweep
        self._study = study
        self._tracker = tracker
        self._line = line
        self._judge = judge
        self._shelf = shelf
        self._trials = trials
        self._states: dict[int, dict[int, str]] = defaultdict(dict)  # turn -> trial_id -> checkpoint
        self._num_vacancies: Counter[int] = Counter()  # by turn
        self._num_settled: Counter[int] = Counter()  # places, by turn

    def resume(self) -> None:
        """Take up the places as an earlier driver left them; the line has seen by now what that one's had."""
        for record in self._study.trials():
            self._num_settled.update(each.rung for each in record.decisions if each.outcome is not Outcome.PAUSES)
            if record.parent is not None and record.parent.replaces is None:
                self._num_settled[record.parent.epoch] += 1
                self._num_vacancies[record.parent.epoch] -= 1
            if record.end is not None and record.end.kind in LOST:
                self._miss(record.trial_id, record.end.epoch - (record.end.kind is EndKind.DIVERGED))
        for turn, costs in self._line.costs.items():
            if turn < self._sweep.epochs and self._num_settled[turn] < self._scheduler.population:
                for trial_id in self._scheduler.possible_parents(costs):
                    self._states[turn][trial_id] = self._study.trial(trial_id).states[turn]
                    self._shelf.hold(self._states[turn][trial_id])

    def arrive(self, turn: int, trials: Sequence[ActiveTrial]) -> None:
        """Keep the states of those who have come to a turn and may have children there."""
        states = self._states[turn]
        for trial in trials:
            assert trial.checkpoint is not None, "it is reported at every turn"
            self._shelf.hold(trial.checkpoint)
            states[trial.spec.trial_id] = trial.checkpoint
        self._release(turn, states.keys() - self._scheduler.possible_parents(self._line.costs[turn]))

    def miss(self, trial: ActiveTrial) -> None:
        """Count a trial that was lost as the worst at the turn to which it will not come; its place is free."""
        self._miss(trial.spec.trial_id, trial.epoch)

    def choose(self, num_slots: int) -> list[int]:
        """Who goes on next; first children are begun in all places that are free, where there is a parent by now."""
        for turn in sorted(+self._num_vacancies):
            while self._num_vacancies[turn] > 0 and (child := self._bear(turn)) is not None:
                self._num_vacancies[turn] -= 1
                self._num_settled[turn] += 1
                self._release_settled(turn)
                self._line.join(Standing(trial_id=child.spec.trial_id, epoch=turn, signature=child.spec.signature))
        return self._scheduler.choose(self._line.waiting, num_slots)

    def take_turn(self, trial: ActiveTrial) -> Succession | None:
        """Judge a trial that is about to go on; none if it does, and for a child that has just begun."""
        turn, trial_id = trial.epoch, trial.spec.trial_id
        if trial.begun_at == turn:
            return None
        decision = self._judge.since_its_pause(trial)
        if decision is None:
            decision = self._judge.on_turn(trial, self._scheduler.take_turn(trial_id, self._line.costs[turn]))
            self._num_settled[turn] += 1
        child = None
        if decision.outcome is Outcome.STOPS:
            child = self._successor(trial_id) or self._bear(turn, replaces=trial_id)
        self._release_settled(turn)
        return None if child is None else Succession(decision=decision, child=child)

    def disband(self) -> None:
        """Nobody will have a child any more."""
        for turn, states in self._states.items():
            self._release(turn, set(states))

    def _miss(self, trial_id: int, epoch: int) -> None:
        turn = self._line.rung_above(epoch)
        if turn < self._sweep.epochs:
            self._line.judge(turn, {trial_id: [math.nan]})
            self._num_vacancies[turn] += 1

    def _successor(self, trial_id: int) -> ActiveTrial | None:
        """The child that an earlier driver began in the place of a trial, if it came to that."""
        born = (trial for trial in self._study.trials() if trial.parent and trial.parent.replaces == trial_id)
        return next((self._trials[child.trial_id] for child in born), None)

    def _release_settled(self, turn: int) -> None:
        """The states of a turn at which no child may begin any more."""
        if self._num_settled[turn] == self._scheduler.population:
            self._release(turn, set(self._states[turn]))

    def _release(self, turn: int, trial_ids: Collection[int]) -> None:
        for trial_id in trial_ids:
            self._shelf.release(self._states[turn].pop(trial_id))

    def _bear(self, turn: int, replaces: int | None = None) -> ActiveTrial | None:
        """Begin a child of one of the best at a turn; none while there are none."""
        generator = Random(derive_seed(self._sweep.seed, len(self._study.trials())))
        parent_id = self._scheduler.choose_parent(self._line.costs[turn], generator)
        if parent_id is None:
            return None
        parent = Parent(trial_id=parent_id, epoch=turn, replaces=replaces)
        record = self._study.descend(self._explored(self._study.trial(parent_id), generator), parent)
        state = self._states[turn][parent_id]
        self._shelf.hold(state)
        child = ActiveTrial(spec=self._sweep.specify(record), begun_at=turn, inherited=state)
        self._trials[record.trial_id] = child
        self._tracker.start(record.trial_id, record.params, parent)
        return child

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
