"""Trials trained again: the same params on luck of their own, other initial weights and other batches."""

from collections.abc import Iterable
from dataclasses import dataclass

from hpo.driver.resuming import left_behind
from hpo.scheduling import Budget, NoScheduler
from hpo.search.study import Study
from hpo.sweep import AnySweep


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """A trial of the search, and on which luck it trains again."""

    trial_id: int
    seed_index: int
    """From 1; repetitions of one seed index see the same batches, so that they are paired."""


def begin_missing(study: Study, wanted: Iterable[Repeat]) -> bool:
    """Begin those that are not there yet; whether any has not ended."""
    there = {(trial.repeats, trial.seed_index) for trial in study.trials()}
    for repeat in wanted:
        if (repeat.trial_id, repeat.seed_index) not in there:
            study.repeat(repeat.trial_id, repeat.seed_index)
            there.add((repeat.trial_id, repeat.seed_index))
    return has_open(study)


def has_open(study: Study) -> bool:
    """Whether any repetition has not ended."""
    return any(trial.repeats is not None and trial.end is None for trial in study.trials())


def without_search(sweep: AnySweep, study: Study) -> AnySweep:
    """The sweep, under whose terms nothing is proposed and nobody is stopped: what has begun trains to its end."""
    left = left_behind(study, is_population=False)
    num_asked = sum(trial.is_proposed for trial in study.trials())
    return sweep.model_copy(
        update={"scheduler": NoScheduler(), "budget": Budget(trials=max(1, num_asked + len(left.unbegun)))}
    )
