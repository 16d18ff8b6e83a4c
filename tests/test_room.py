"""Sweeps that cannot fit are refused with the numbers; those that will not be able to end are told so."""

import shutil
from pathlib import Path

import pytest

from hpo.errors import SweepError
from hpo.paths import SweepPaths
from hpo.records import Report, Segment, TrialSpec
from hpo.room import Need, check_room, need_of, refuse_without_room, room_advice
from hpo.scheduling import Asha, Budget, FreezeThaw, Hyperband, NoScheduler, Pbt, Scheduler
from hpo.sweep import Resources, Storage, Sweep
from hpo.training.data import Digits, Splits
from hpo.training.early_stopping import EarlyStopping
from hpo.training.models import Mlp
from hpo.training.optimizers import AdamW
from hpo.training.probe import most_state_bytes, state_bytes
from hpo.training.recipe import Recipe
from hpo.training.schedules import WarmRestarts
from hpo.training.workload import TorchWorkload
from tests.driving import make_sweep

STATE = 2 * 4 * (64 * 8 + 8 + 8 * 10 + 10) + 2 * 359 * 10
"""Bytes of weights and momentum of an MLP 64-8-10, and of what it predicts of the digits' validation split."""
ONE = Resources(max_concurrent=1)
MB = 1_000_000


@pytest.fixture(scope="module")
def digits() -> Splits:
    return Digits().load(0)


@pytest.mark.parametrize(
    ("scheduler", "resources", "num_trials", "num_at_once", "num_in_all"),
    [
        (Asha(), Resources(), 64, 2, 64),  # nobody knows how many slots there will be
        (Asha(), ONE, 64, 17, 64),  # a slot alone takes cohorts of 64 / 4
        (Hyperband(), ONE, 200, 51, 200),
        (NoScheduler(), ONE, 5, 6, 5),
        (Asha(), Resources(max_concurrent=4), 64, 5, 64),
        (Asha(form="promotion"), ONE, 64, 65, 64),  # whoever is not promoted waits until the end
        (FreezeThaw(min_epochs=1), ONE, 64, 65, 64),
        (Pbt(population=8, every=2, quantile=0.25), ONE, 64, 9, 8 + 4 * 2),  # turns at 2, 4, 6 and 8 of 9 epochs
    ],
)
def test_at_once_there_are_the_states_of_those_who_run_or_wait_and_one_more(
    scheduler: Scheduler, resources: Resources, num_trials: int, num_at_once: int, num_in_all: int
) -> None:
    budget = Budget() if isinstance(scheduler, Pbt) else Budget(trials=num_trials)
    sweep = make_sweep(scheduler=scheduler, budget=budget).model_copy(update={"resources": resources})

    need = need_of(sweep, 10)

    assert (need.num_at_once, need.num_trials) == (num_at_once, num_in_all)
    assert (need.at_once_bytes, need.in_all_bytes) == (10 * num_at_once, 10 * num_in_all)


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(model=Mlp(hidden=(8,))),
        Recipe(model=Mlp(hidden=(64, 8), norm="batch"), optimizer=AdamW(), ema_half_life=0.5),
        Recipe(model=Mlp(hidden=(300,)), early_stopping=EarlyStopping(patience=2)),
        Recipe(model=Mlp(hidden=(300,)), schedule=WarmRestarts(cycles=3), snapshots="all", epochs=3),
    ],
    ids=["momentum", "adam and an average", "early stopping", "snapshots"],
)
def test_a_state_is_as_large_as_its_file_but_for_names(recipe: Recipe, digits: Splits, tmp_path: Path) -> None:
    told = state_bytes(recipe, digits)

    num_epochs = 1 if recipe.snapshots == "last" else recipe.epochs
    trial = TrialSpec(trial_id=0, recipe=recipe.model_dump_json())
    workload = TorchWorkload(
        train=digits.train, validation=digits.validation, num_classes=10, paths=SweepPaths(tmp_path)
    )
    train = workload.open(num_threads=1, use_gpu=False)
    *_, last = train(Segment(segment_id=1, cohort=(trial,), from_epoch=0, to_epoch=num_epochs, seed=0))
    assert isinstance(last, Report)
    in_file = Path(str(last.checkpoint)).stat().st_size
    assert told <= in_file <= told + 5000
    assert in_file <= most_state_bytes(recipe, digits)


def small(tmp_path: Path, keep: int | None = None) -> Sweep:
    storage = Storage(checkpoints=tmp_path, keep=keep)
    return make_sweep(num_trials=64).model_copy(
        update={"model": Mlp(hidden=(8,)), "storage": storage, "resources": ONE, "name": "small"}
    )


def test_a_quota_that_cannot_hold_what_is_needed_at_once_is_refused(tmp_path: Path, digits: Splits) -> None:
    check_room(small(tmp_path, keep=17 * STATE), digits)

    with pytest.raises(SweepError) as caught:
        check_room(small(tmp_path, keep=17 * STATE - 1), digits)

    assert str(caught.value) == (
        "sweep small: storage.keep: must hold the sweep's 17 states of 12.1 KB together, 205 KB, but is 205 KB. "
        "Raise it, or train fewer at once."
    )


def test_a_disk_that_cannot_hold_what_is_needed_at_once_is_refused(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    need = Need(state_bytes=free, num_at_once=3, num_trials=64)

    with pytest.raises(SweepError, match=r"storage.checkpoints: must have room for the sweep's 3 states of .* has "):
        refuse_without_room(small(tmp_path), need)


def test_who_will_not_come_to_the_end_without_a_quota_is_advised_to_set_one(tmp_path: Path) -> None:
    storage, free = Storage(checkpoints=tmp_path / "runs"), shutil.disk_usage(tmp_path).free
    much = Need(state_bytes=free // 10, num_at_once=2, num_trials=64)

    [told] = room_advice(storage, much)

    assert told.startswith("storage.keep: should be set, for the states of 64 trials take ")
    assert not [*room_advice(storage, Need(state_bytes=1000, num_at_once=2, num_trials=64))]
    assert not [*room_advice(Storage(checkpoints=tmp_path, keep=MB), much)]


def test_a_quota_beyond_what_is_free_is_advised_against_where_it_will_be_needed(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    storage = Storage(checkpoints=tmp_path, keep=2 * free)

    [told] = room_advice(storage, Need(state_bytes=free // 10, num_at_once=2, num_trials=64))

    assert told.startswith("storage.keep: should be at most the ")
    assert not [*room_advice(storage, Need(state_bytes=1000, num_at_once=2, num_trials=64))]
