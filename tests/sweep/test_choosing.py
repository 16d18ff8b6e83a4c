"""What searches where the sweep file leaves it open, and why."""

import re
from pathlib import Path

import pytest

from hpo.sweep import Sweep, load_sweep, settled

SWEEP = """\
data: {kind: digits}
model: {kind: mlp}
metric: {name: val_accuracy, goal: maximize}
space:
  optimizer.lr: loguniform(1e-4, 1)
"""


def load(folder: Path, *overrides: str) -> Sweep:
    path = folder / "sweep.yaml"
    path.write_text(SWEEP)
    return load_sweep(path, overrides)


@pytest.mark.parametrize(
    ("overrides", "kinds", "reason"),
    [
        ([], ("curves", "freeze_thaw"), "it learns from every epoch of every trial, stopped ones too"),
        (["budget.trials=4"], ("qmc", "asha"), "of 4 trials there is hardly anything to learn"),
        (["budget.trials=30", "resources.max_concurrent=16"], ("qmc", "asha"), "of 30 trials there is hardly anything"),
        (["budget.trials=20000"], ("tpe", "asha"), "with 20000 trials a Gaussian process would take too long"),
        (["epochs=1"], ("curves", "none"), "there is no rung before the end of 1 epoch"),
        (["schedule={kind: plateau}"], ("curves", "none"), "schedule.kind plateau follows the losses of each trial"),
        (["early_stopping.patience=3"], ("curves", "none"), "early_stopping.patience 3 follows the losses"),
        (["schedule={kind: cyclic}"], ("curves", "none"), "schedule.kind cyclic lets losses rise again"),
        (["sampler={kind: tpe}"], ("tpe", "asha"), "tpe has no model of curves"),
        (
            ["scheduler={kind: freeze_thaw}", "budget.trials=4"],
            ("curves", "freeze_thaw"),
            "freeze_thaw needs its model",
        ),
        (["scheduler={kind: pbt}"], ("qmc", "pbt"), "what children measure is owed to their ancestors too"),
        (["scheduler={kind: none}"], ("curves", "none"), "it learns from every epoch"),
    ],
)
def test_what_is_left_open_is_chosen_and_says_why(
    tmp_path: Path, overrides: list[str], kinds: tuple[str, str], reason: str
) -> None:
    chosen = load(tmp_path, *overrides).chosen

    assert (chosen.sampler.kind, chosen.scheduler.kind) == kinds
    assert reason in " ".join(chosen.why)


@pytest.mark.parametrize(
    ("num_trials", "kind", "reason"),
    [
        (99, "tpe", "of 99 trials there are too few to breed generations of 20"),
        (100, "nsga2", "there are several metrics, and trials enough for generations"),
    ],
)
def test_several_metrics_ask_for_a_sampler_that_knows_fronts_and_for_whole_trials(
    tmp_path: Path, num_trials: int, kind: str, reason: str
) -> None:
    path = tmp_path / "sweep.yaml"
    both = "metrics: [{name: val_accuracy, goal: maximize}, {name: val_loss, goal: minimize}]"
    path.write_text(SWEEP.replace("metric: {name: val_accuracy, goal: maximize}", both))

    chosen = load_sweep(path, [f"budget.trials={num_trials}"]).chosen

    assert (chosen.sampler.kind, chosen.scheduler.kind) == (kind, "none")
    assert reason in chosen.why[0]
    assert "a trial that is stopped has no place on the front of several metrics" in chosen.why[1]


def test_a_space_with_very_many_axes_is_not_for_a_gaussian_process(tmp_path: Path) -> None:
    values = ", ".join(f"[{width}]" for width in range(8, 50))

    chosen = load(tmp_path, f"space.model.hidden=choice({values})").chosen

    assert chosen.sampler.kind == "tpe"
    assert "of 43 axes a Gaussian process would learn too little" in chosen.why[0]


def test_what_was_chosen_is_written_down_for_the_next_time(tmp_path: Path) -> None:
    sweep = load(tmp_path)

    written, why = settled(sweep, sweep.data.load(0))

    assert (written.sampler, written.scheduler) == (written.chosen.sampler, written.chosen.scheduler)
    assert written.chosen.why == ()
    assert (written.sampler.kind, written.scheduler.kind) == ("tpe", "asha")
    assert re.fullmatch(r"sampler: tpe, because a trial trains for \d\S* s, and a Gaussian .* as long\.", why[0])


def test_trials_that_train_for_long_are_worth_a_model_of_their_curves(tmp_path: Path) -> None:
    chosen = load(tmp_path).choose(trial_s=60.0)

    assert (chosen.sampler.kind, chosen.scheduler.kind) == ("curves", "freeze_thaw")


def test_what_is_written_is_not_overruled(tmp_path: Path) -> None:
    chosen = load(tmp_path, "sampler={kind: random}", "scheduler={kind: median}").chosen

    assert (chosen.sampler.kind, chosen.scheduler.kind, chosen.why) == ("random", "median", ())
