"""What stopped and diverged trials tell a sampler that learns from complete ones."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from optuna.study import StudyDirection

from hpo.records import End, EndKind, Goal, Report
from hpo.search.hindsight import Past, final_values
from hpo.search.samplers import Gp
from hpo.spaces import Domain, Uniform
from tests.search.opening import open_study

UP, DOWN = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE


def past(kind: EndKind, *values: float) -> Past:
    """With values at epochs 1, 3, 9."""
    by_epoch = dict(zip((1, 3, 9), values, strict=False))
    value = values[-1] if values else None
    return Past(params={}, values=by_epoch, end=End(kind=kind, epoch=max(by_epoch, default=1), value=value))


COMPLETE = [
    past(EndKind.COMPLETE, 0.50, 0.60, 0.80),
    past(EndKind.COMPLETE, 0.60, 0.65, 0.70),
    past(EndKind.COMPLETE, 0.55, 0.75, 0.95),
]


def test_a_stopped_trial_gets_the_median_gain_of_those_that_went_on() -> None:
    stopped = [past(EndKind.STOPPED, 0.40), past(EndKind.STOPPED, 0.40, 0.50)]

    values = final_values([*COMPLETE, *stopped], UP)

    # From epoch 1 they gained 0.30, 0.10 and 0.40; from epoch 3 0.20, 0.05 and 0.20.
    assert values == pytest.approx([0.80, 0.70, 0.95, 0.40 + 0.30, 0.50 + 0.20])


def test_a_stopped_trial_keeps_its_value_while_none_has_gone_on() -> None:
    assert final_values([past(EndKind.STOPPED, 0.4), past(EndKind.STOPPED, 0.3, 0.5)], UP) == [0.4, 0.5]


@pytest.mark.parametrize(("direction", "worst"), [(UP, 0.70), (DOWN, 0.95)])
def test_a_diverged_trial_gets_the_worst_value_whatever_it_measured(direction: StudyDirection, worst: float) -> None:
    values = final_values([*COMPLETE, past(EndKind.DIVERGED, 0.99)], direction)

    assert values[-1] == worst


def test_failed_and_running_trials_say_nothing() -> None:
    trials = [
        *COMPLETE,
        past(EndKind.FAILED, 0.4),
        past(EndKind.TIMED_OUT, 0.4),
        past(EndKind.STOPPED),
        Past(params={}),
    ]

    assert final_values(trials, UP)[3:] == [None] * 4


def test_gp_learns_from_stopped_trials(tmp_path: Path) -> None:
    line: Mapping[str, Domain] = {"optimizer.lr": Uniform(min=0.0, max=1.0)}
    sampler = Gp(num_startup=8, startup="qmc")
    with open_study(tmp_path, space=line, sampler=sampler, metric="val_loss", goal=Goal.MINIMIZE) as study:
        for trial in study.ask(8):
            place = float(str(trial.params["optimizer.lr"]))
            study.record(Report(trial_id=trial.trial_id, epoch=1, metrics={"val_loss": (place - 0.3) ** 2}))
            study.tell(trial.trial_id, End(kind=EndKind.STOPPED, epoch=1, value=(place - 0.3) ** 2))

        [proposal] = study.ask(1)

    assert float(str(proposal.params["optimizer.lr"])) == pytest.approx(0.3, abs=0.1)
