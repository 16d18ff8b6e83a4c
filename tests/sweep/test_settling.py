from pathlib import Path

import pytest

from hpo.errors import SweepError
from hpo.sweep import Sweep, check_data, dump_resolved, load_sweep, with_first_rung

SWEEP = """\
data: {kind: digits}
model: {kind: mlp}
metric: {name: val_accuracy, goal: maximize}
space: {optimizer.lr: "loguniform(1e-4, 1)"}
"""
MANY = 1_000_000


def load(folder: Path, *settings: str) -> Sweep:
    path = folder / "sweep.yaml"
    path.write_text(SWEEP)
    return load_sweep(path, settings)


def first_of(sweep: Sweep, num_train: int) -> int:
    return with_first_rung(sweep, num_train).chosen.scheduler.rungs(sweep.epochs)[0]


@pytest.mark.parametrize(
    ("settings", "num_train", "first"),
    [
        (["epochs=54"], MANY, 6),
        (["epochs=52"], MANY, 6),
        (["epochs=27", "schedule.warmup=0.2"], MANY, 7),
        (["epochs=27", "space={schedule.warmup: 'uniform(0, 0.2)'}"], MANY, 7),
        (["epochs=20", "schedule.warmup=0.25"], MANY, 6),
        (["epochs=27", "space={schedule.kind: 'choice(cosine, one_cycle)'}"], MANY, 10),
        (["epochs=27"], 50 * 64, 4),
        (["epochs=27", "batch_size=32"], 50 * 64, 3),
        (["epochs=27", "space={batch_size: 'choice(32, 128)'}"], 50 * 64, 8),
        (["epochs=40", "batch_growth.every=0.05"], 60 * 64, 6),
        (["epochs=27", "batch_size=256"], 1000, 9),
        (["epochs=2"], 1000, 1),
        (["epochs=10", "schedule.warmup=0.9"], MANY, 9),
    ],
    ids=[
        "a ninth",
        "rounded",
        "an epoch after the warm-up, which ends in epoch 6",
        "the longest warm-up of the space",
        "a warm-up that ends with epoch 5",
        "the rate of one_cycle rises in 8.1 epochs",
        "4 epochs of 50 steps",
        "2 epochs of 100 steps are fewer than a ninth",
        "8 epochs of 25 steps, of the largest batch",
        "epochs of 60, 60, 30, 30, 15 and 15 steps, for batches grow after every second",
        "50 epochs of 4 steps are more than a third",
        "at least one",
        "before the end",
    ],
)
def test_the_first_rung_follows_from_length_warm_up_and_data(
    tmp_path: Path, settings: list[str], num_train: int, first: int
) -> None:
    assert first_of(load(tmp_path, *settings), num_train) == first


@pytest.mark.parametrize("kind", ["asha", "median", "freeze_thaw"])
def test_every_scheduler_with_rungs_has_it_and_the_resolved_file_holds_the_number(tmp_path: Path, kind: str) -> None:
    sweep = load(tmp_path, f"scheduler={{kind: {kind}}}", "sampler={kind: curves}", "schedule.warmup=0.2")

    settled = with_first_rung(sweep, MANY)

    path = tmp_path / "resolved.yaml"
    path.write_text(dump_resolved(settled))
    assert load_sweep(path).scheduler.as_tree()["min_epochs"] == 7
    assert first_of(load_sweep(path), 100) == 7


@pytest.mark.parametrize(
    ("scheduler", "doubts"),
    [
        ("{kind: asha}", "always"),
        ("{kind: asha, doubts: never}", "never"),
        ("{kind: asha, min_epochs: 2}", "auto"),
        ("{kind: asha, form: promotion}", "auto"),
    ],
)
def test_rungs_that_follow_from_the_data_are_doubted_though_the_resolved_file_holds_a_number(
    tmp_path: Path, scheduler: str, doubts: str
) -> None:
    settled = with_first_rung(load(tmp_path, f"scheduler={scheduler}", "sampler={kind: tpe}"), MANY)

    path = tmp_path / "resolved.yaml"
    path.write_text(dump_resolved(settled))
    assert load_sweep(path).scheduler.as_tree()["doubts"] == doubts


def test_a_number_in_the_file_and_a_sweep_without_rungs_stay_as_they_are(tmp_path: Path) -> None:
    for settings in ("scheduler={kind: asha, min_epochs: 2}", "scheduler={kind: none}"):
        sweep = load(tmp_path, settings, "sampler={kind: tpe}")

        assert with_first_rung(sweep, 1000) == sweep


def test_promotion_needs_trials_for_the_rungs_that_follow_from_the_data(tmp_path: Path) -> None:
    settings = ("scheduler={kind: asha, form: promotion}", "sampler={kind: random}", "batch_size=256")
    splits = load(tmp_path).data.load(0)

    check_data(load(tmp_path, *settings, "budget.trials=3"), splits)  # rungs 9 and 27
    with pytest.raises(SweepError) as caught:
        check_data(load(tmp_path, *settings, "budget.trials=2"), splits)

    assert str(caught.value) == (
        "sweep sweep: budget.trials: must be at least 3 to promote one of 3 at epoch 9, but got 2: no trial would "
        "reach the end. Raise it, raise scheduler.min_epochs, or use form: stopping."
    )
