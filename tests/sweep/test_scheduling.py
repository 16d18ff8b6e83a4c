from pathlib import Path

import pytest

from hpo.curves import Table
from hpo.errors import SweepError
from hpo.scheduling import Asha, Hyperband
from hpo.simulation import Simulation
from hpo.spaces import RandInt
from hpo.sweep import Sweep, load_sweep

SWEEP = """\
data: {kind: digits}
model: {kind: mlp}
metric: {name: val_accuracy, goal: maximize}
space:
  optimizer.lr: loguniform(1e-4, 1)
"""


def load(folder: Path, text: str) -> Sweep:
    path = folder / "sweep.yaml"
    path.write_text(SWEEP + text)
    return load_sweep(path)


@pytest.mark.parametrize("kind", ["asha", "hyperband"])
@pytest.mark.parametrize("half_life", ["ema_half_life: 0.5\n", "  ema_half_life: uniform(0.5, 2)\n"])
def test_averages_can_be_compared_where_every_trial_keeps_one(tmp_path: Path, kind: str, half_life: str) -> None:
    sweep = load(tmp_path, f"{half_life}scheduler: {{kind: {kind}, compare: averaged}}\n")

    assert isinstance(sweep.scheduler, Asha | Hyperband)
    assert sweep.scheduler.compare == "averaged"


@pytest.mark.parametrize(
    ("text", "got"),
    [("  ema_half_life: choice(0.0, 2.0)\n", "may be 0"), ("swa_start: 0.5\n", "is 0")],
    ids=["some trials keep none", "it begins late"],
)
def test_averages_cannot_be_compared_where_a_trial_keeps_none_from_the_start(
    tmp_path: Path, text: str, got: str
) -> None:
    with pytest.raises(
        SweepError, match=f"averaged needs ema_half_life above 0 in every trial, but it {got}"
    ) as caught:
        load(tmp_path, f"{text}scheduler: {{kind: hyperband, compare: averaged}}\n")

    assert [problem.key for problem in caught.value.problems] == ["scheduler.compare"]


def test_curves_hold_no_averages_to_compare(tmp_path: Path) -> None:
    curves = Table(path=tmp_path / "none.csv")

    with pytest.raises(SweepError, match="scheduler.compare: averaged needs ema_half_life"):
        Simulation(curves=curves, space={"depth": RandInt(min=1, max=3)}, epochs=9, scheduler=Asha(compare="averaged"))
