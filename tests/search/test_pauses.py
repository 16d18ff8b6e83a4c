"""What a trial that pauses at a rung, and one that goes on from there, is to a sampler."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from hpo.records import Decision, End, EndKind, Outcome, Report, TrialRecord
from hpo.search.samplers import Cmaes, Coordinate, Curves, Gp, Refine, Sampler, Tpe
from hpo.search.study import Study
from hpo.spaces import Domain, Uniform
from tests.search.opening import open_study

PLANE: Mapping[str, Domain] = {"x": Uniform(min=0.0, max=1.0), "y": Uniform(min=0.0, max=1.0)}
LEARNING = [Tpe(), Gp(num_startup=8), Cmaes(), Refine(num_startup=8)]
"""From stopped trials too; to coordinate descent, one that was stopped is only worse than one that was complete."""

every_learning = pytest.mark.parametrize("sampler", LEARNING, ids=lambda sampler: sampler.kind)
every_other_too = pytest.mark.parametrize(
    "sampler", [*LEARNING, Curves(), Coordinate()], ids=lambda sampler: sampler.kind
)


def x_of(trial: TrialRecord) -> float:
    return float(str(trial.params["x"]))


def measure(study: Study, trial: TrialRecord, value: float) -> None:
    study.record(Report(trial_id=trial.trial_id, epoch=3, metrics={"val_accuracy": value}))


def decide(study: Study, trial: TrialRecord, outcome: Outcome) -> None:
    study.decide({trial.trial_id: Decision(rung=3, value=0.5, cutoff=0.5, rank=1, num_seen=1, outcome=outcome)})


def pause(study: Study, trial: TrialRecord, value: float) -> None:
    measure(study, trial, value)
    decide(study, trial, Outcome.PAUSES)


def stop(study: Study, trial: TrialRecord, value: float) -> None:
    measure(study, trial, value)
    study.tell(trial.trial_id, End(kind=EndKind.STOPPED, epoch=3, value=value))


def closeness(trial: TrialRecord) -> float:
    return -abs(x_of(trial) - 0.2)


@every_learning
@pytest.mark.parametrize("best", [0.15, 0.85])
def test_proposals_are_drawn_to_where_paused_trials_were_good(tmp_path: Path, sampler: Sampler, best: float) -> None:
    with open_study(tmp_path, space=PLANE, sampler=sampler) as study:
        for _ in range(30):
            [trial] = study.ask(1)
            pause(study, trial, -abs(x_of(trial) - best))

        proposals = study.ask(8)

    assert sum(abs(x_of(trial) - best) < 0.3 for trial in proposals) >= 6


@every_other_too
def test_a_paused_trial_counts_as_one_that_was_stopped_there(tmp_path: Path, sampler: Sampler) -> None:
    proposals = []
    for end in (pause, stop):
        with open_study(tmp_path / end.__name__, space=PLANE, sampler=sampler) as study:
            for _ in range(2):
                for trial in study.ask(8)[:7]:
                    end(study, trial, closeness(trial))
            proposals.append([trial.params for trial in study.ask(3)])

    assert proposals[0] == proposals[1]


@every_other_too
def test_a_trial_that_goes_on_counts_as_if_it_had_not_paused(tmp_path: Path, sampler: Sampler) -> None:
    proposals = []
    for name in ("pauses", "does not"):
        with open_study(tmp_path / name, space=PLANE, sampler=sampler) as study:
            *others, last = study.ask(14)
            for trial in others[:11]:
                pause(study, trial, closeness(trial))
            measure(study, last, 0.9)
            if name == "pauses":
                decide(study, last, Outcome.PAUSES)
                decide(study, last, Outcome.CONTINUES)
            proposals.append([trial.params for trial in study.ask(3)])

    assert proposals[0] == proposals[1]


@every_other_too
def test_what_was_learnt_from_a_paused_trial_is_forgotten_when_another_pauses_in_its_place(
    tmp_path: Path, sampler: Sampler
) -> None:
    proposals = []
    for name in ("at once", "loaded again"):
        study = open_study(tmp_path / name, space=PLANE, sampler=sampler)
        trials = study.ask(14)
        for trial in trials[:12]:
            pause(study, trial, closeness(trial))
        study.ask(1)
        decide(study, trials[0], Outcome.CONTINUES)
        pause(study, trials[12], 0.9)
        if name == "loaded again":
            study.close()
            study = open_study(tmp_path / name, space=PLANE, sampler=sampler)
        with study:
            proposals.append([trial.params for trial in study.ask(3)])

    assert proposals[0] == proposals[1]


@pytest.mark.parametrize("sampler", [Tpe(), Cmaes(), Coordinate()], ids=lambda sampler: sampler.kind)
def test_the_end_of_a_trial_takes_the_place_of_its_pauses(tmp_path: Path, sampler: Sampler) -> None:
    proposals = []
    for name in ("pauses", "does not"):
        with open_study(tmp_path / name, space=PLANE, sampler=sampler) as study:
            trials = study.ask(14)
            for number, trial in enumerate(trials):
                measure(study, trial, closeness(trial))
                if name == "pauses":
                    decide(study, trial, Outcome.PAUSES)
                if name == "pauses" and number % 2 == 0:
                    decide(study, trial, Outcome.CONTINUES)
                kind = EndKind.COMPLETE if number % 2 == 0 else EndKind.STOPPED
                study.tell(trial.trial_id, End(kind=kind, epoch=27 if number % 2 == 0 else 3, value=closeness(trial)))
            proposals.append([trial.params for trial in study.ask(3)])

    assert proposals[0] == proposals[1]
