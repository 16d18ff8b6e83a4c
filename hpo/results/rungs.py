"""How right the rungs of a sweep were: what they stopped, against what went to the end all the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from hpo.records import Decision, EndKind, Goal, Outcome, TrialRecord

NUM_BEST = 5
"""Trials at the top."""
FEWEST = 5
"""Trials from which a correlation is worth telling, and controls from which a share is."""


@dataclass(frozen=True, kw_only=True)
class Rung:
    """What a rung has seen and decided, and how its values agree with those at the end."""

    epoch: int
    num_seen: int
    num_stopped: int
    num_spared: int
    """Controls that would have been stopped here, and at no rung before."""
    num_doubted: int
    """Trials that would have been stopped here, had its values told anything of later ones."""
    num_finished: int
    """Of those seen, the trials that went to the end."""
    num_controls: int
    """Of the finished, those that some rung has spared."""
    correlation: float | None
    """Spearman's, of the values here and at the end, over the finished; none of fewer than 5, or if all are alike."""
    num_spared_finished: int
    """Of the spared, those that went to the end."""
    num_spared_best: int | None
    """Of these, those among the best at the end; none where all that went to the end count as best."""
    num_lost: float | None
    """Of the stopped, about as many would be too: each of the spared that went to the end stands for its share."""


def summarize_rungs(trials: Sequence[TrialRecord], goal: Goal, num_best: int = NUM_BEST) -> list[Rung]:
    """Every rung at which something was decided, in order.

    Args:
        trials: all of the sweep.
        goal: which way values are better.
        num_best: how many trials at the end count as the best.
    """
    finals = {trial.trial_id: value for trial in trials if (value := _final(trial)) is not None}
    ranked = sorted(finals, key=lambda trial_id: (goal.as_cost(finals[trial_id]), trial_id))
    best = set(ranked[:num_best]) if len(ranked) > num_best else None
    epochs = sorted({decision.rung for trial in trials for decision in trial.decisions})
    return [_summary(epoch, trials, finals, best) for epoch in epochs]


def _summary(epoch: int, trials: Sequence[TrialRecord], finals: Mapping[int, float], best: set[int] | None) -> Rung:
    last = {trial.trial_id: decision for trial in trials for decision in trial.decisions if decision.rung == epoch}
    spared_at = {trial.trial_id: _spared_at(trial.decisions) for trial in trials}
    finished = [trial_id for trial_id in last if trial_id in finals]
    spared = [trial_id for trial_id in last if spared_at[trial_id] == epoch]
    tested = [trial_id for trial_id in spared if trial_id in finals]
    num_stopped = sum(decision.outcome is Outcome.STOPS for decision in last.values())
    num_spared_best = None if best is None else sum(trial_id in best for trial_id in tested)
    return Rung(
        epoch=epoch,
        num_seen=len(last),
        num_stopped=num_stopped,
        num_spared=len(spared),
        num_doubted=sum(decision.doubt is not None for decision in last.values()),
        num_finished=len(finished),
        num_controls=sum(spared_at[trial_id] is not None for trial_id in finished),
        correlation=_spearman([last[trial_id].value for trial_id in finished], [finals[each] for each in finished]),
        num_spared_finished=len(tested),
        num_spared_best=num_spared_best,
        num_lost=None if num_spared_best is None or not tested else num_stopped * num_spared_best / len(tested),
    )


def _final(trial: TrialRecord) -> float | None:
    """The objective of a trial of the search that went to the end."""
    is_through = trial.repeats is None and trial.end is not None and trial.end.kind is EndKind.COMPLETE
    return trial.end.value if is_through and trial.end is not None else None


def _spared_at(decisions: Sequence[Decision]) -> int | None:
    """The first rung that would have stopped a control."""
    return next((decision.rung for decision in decisions if decision.outcome is Outcome.SPARED), None)


def _spearman(here: Sequence[float], at_end: Sequence[float]) -> float | None:
    if len(here) < FEWEST or len(set(here)) == 1 or len(set(at_end)) == 1:
        return None
    return float(pd.Series(here).rank().corr(pd.Series(at_end).rank()))
