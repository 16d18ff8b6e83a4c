"""What stopped and diverged trials tell a sampler that learns from complete ones."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from hpo.records import End, EndKind, Goal, Report
from hpo.search.hindsight import Trial, final_values
from hpo.search.samplers import Gp
from hpo.spaces import Domain, Uniform
from tests.search.opening import open_study


def ended(kind: EndKind | None, *values: float) -> Trial:
    """With values at epochs 1, 3, 9."""
    return Trial(point=np.zeros(1), values=dict(zip((1, 3, 9), values, strict=False)), end=kind)


COMPLETE = [
    ended(EndKind.COMPLETE, 0.50, 0.60, 0.80),
    ended(EndKind.COMPLETE, 0.60, 0.65, 0.70),
    ended(EndKind.COMPLETE, 0.55, 0.75, 0.95),
]


def test_a_stopped_trial_gets_the_median_gain_of_those_that_went_on() -> None:
    stopped = [ended(EndKind.STOPPED, 0.40), ended(EndKind.STOPPED, 0.40, 0.50)]

    values = final_values([*COMPLETE, *stopped])

    # From epoch 1 they gained 0.30, 0.10 and 0.40; from epoch 3 0.20, 0.05 and 0.20.
    assert values == pytest.approx([0.80, 0.70, 0.95, 0.40 + 0.30, 0.50 + 0.20])


def test_a_stopped_trial_keeps_its_value_while_none_has_gone_on() -> None:
    assert final_values([ended(EndKind.STOPPED, 0.4), ended(EndKind.STOPPED, 0.3, 0.5)]) == [0.4, 0.5]


def test_a_diverged_trial_gets_the_worst_value_whatever_it_measured() -> None:
    assert final_values([*COMPLETE, ended(EndKind.DIVERGED, 0.99)])[-1] == 0.70


def test_where_nothing_else_is_known_a_diverged_trial_says_nothing() -> None:
    assert final_values([ended(EndKind.DIVERGED, 0.99), ended(EndKind.FAILED)]) == [None, None]


def test_failed_and_running_trials_say_nothing() -> None:
    trials = [
        *COMPLETE,
        ended(EndKind.FAILED, 0.4),
        ended(EndKind.TIMED_OUT, 0.4),
        ended(EndKind.STOPPED),
        ended(None, 0.4),
    ]

    assert final_values(trials)[3:] == [None] * 4


def test_gp_learns_from_stopped_trials(tmp_path: Path) -> None:
    line: Mapping[str, Domain] = {"optimizer.lr": Uniform(min=0.0, max=1.0)}
    sampler = Gp(num_startup=8)
    with open_study(tmp_path, space=line, sampler=sampler, metric="val_loss", goal=Goal.MINIMIZE) as study:
        for trial in study.ask(8):
            place = float(str(trial.params["optimizer.lr"]))
            study.record(Report(trial_id=trial.trial_id, epoch=1, metrics={"val_loss": (place - 0.3) ** 2}))
            study.tell(trial.trial_id, End(kind=EndKind.STOPPED, epoch=1, value=(place - 0.3) ** 2))

        [proposal] = study.ask(1)

    assert float(str(proposal.params["optimizer.lr"])) == pytest.approx(0.3, abs=0.1)
