"""Who leads, without looking at all trials."""

from dataclasses import replace

import numpy as np

from hpo.driver.standings import Standings
from hpo.records import End, EndKind, Goal, TrialRecord
from hpo.results import rank

KINDS = [None, None, None, EndKind.COMPLETE, EndKind.STOPPED, EndKind.DIVERGED, EndKind.FAILED]


def test_whoever_leads_is_first_of_all_trials_whatever_happens_to_them() -> None:
    rng = np.random.default_rng(0)
    trials = {number: TrialRecord(trial_id=number, params={}) for number in range(40)}
    standings = Standings(Goal.MAXIMIZE, lambda: list(trials.values()))
    running = list(trials)

    while running:
        number = int(rng.choice(running))
        trial = trials[number]
        kind = KINDS[rng.integers(len(KINDS))]
        epoch = len(trial.values) + 1
        value = round(float(rng.random()), 1) if rng.random() < 0.9 else float("nan")
        trial = replace(trial, values={**trial.values, epoch: value})
        if kind is not None:
            trial = replace(trial, end=End(kind=kind, epoch=epoch, value=value))
            running.remove(number)
        trials[number] = trial
        standings.see(trial)

        first = rank(list(trials.values()), Goal.MAXIMIZE)[0]
        has_value = any(np.isfinite(value) for value in first.values.values())
        assert standings.best is (first if has_value else None)

    assert standings.ends.total() == 40
    assert standings.ends[EndKind.DIVERGED] == sum(
        trial.end is not None and trial.end.kind is EndKind.DIVERGED for trial in trials.values()
    )


def test_all_trials_are_looked_at_only_when_who_leads_falls_back() -> None:
    trials = [TrialRecord(trial_id=number, params={}, values={1: number / 10}) for number in range(3)]
    looks = []

    def look() -> list[TrialRecord]:
        looks.append(1)
        return trials

    standings = Standings(Goal.MINIMIZE, look)
    num_at_first = len(looks)
    for trial in trials[1:]:
        standings.see(replace(trial, values={1: 0.5, 2: trial.values[1]}))
    leads, num_looks = standings.best, len(looks)
    trials[1] = replace(trials[1], end=End(kind=EndKind.DIVERGED, epoch=3))
    standings.see(trials[1])

    assert (leads and leads.trial_id, num_looks) == (1, num_at_first)
    assert (standings.best and standings.best.trial_id, len(looks)) == (0, num_at_first + 1)


def test_trials_of_a_study_that_goes_on_count() -> None:
    ended = TrialRecord(trial_id=0, params={}, end=End(kind=EndKind.COMPLETE, epoch=9, value=0.5))

    standings = Standings(Goal.MAXIMIZE, lambda: [ended])

    assert standings.best is ended
    assert standings.ends == {EndKind.COMPLETE: 1}
