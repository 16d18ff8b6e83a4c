import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from torch import nn

from hpo.paths import SweepPaths
from hpo.records import Failure, Report, Segment, TrialSpec
from hpo.training.batch_growth import BatchGrowth
from hpo.training.checkpoint import Predicted, read_checkpoint, read_predictions
from hpo.training.course import concluded
from hpo.training.data import Digits, Examples, Splits
from hpo.training.early_stopping import EarlyStopping
from hpo.training.models import Mlp, Model, Resnet
from hpo.training.optimizers import AdamW, NAdam, Sgd
from hpo.training.recipe import Recipe
from hpo.training.schedules import Constant, Plateau, WarmRestarts
from hpo.training.state import AVERAGED, RAW, Best, Course
from hpo.training.workload import TorchWorkload, Trainer

METRICS = {"train_loss", "val_loss", "val_accuracy", "lr", "seconds", "samples_per_second"}
CLOCKED = {"seconds", "samples_per_second"}
GOOD = Recipe(model=Mlp(hidden=(16,), dropout=0.2), epochs=3)
BAD = GOOD.model_copy(update={"optimizer": Sgd(lr=1e30)})


@pytest.fixture(scope="module")
def splits() -> Splits:
    return Digits().load(0)


@pytest.fixture
def train(splits: Splits, tmp_path: Path) -> Trainer:
    workload = TorchWorkload(
        train=splits.train, validation=splits.validation, num_classes=10, paths=SweepPaths(tmp_path), lanes=1
    )
    return workload.open(num_threads=1, use_gpu=False)


def segment(
    *recipes: Recipe, from_epoch: int = 0, to_epoch: int = 3, checkpoints: Mapping[int, str] | None = None
) -> Segment:
    cohort = tuple(TrialSpec(trial_id=k, recipe=recipe.model_dump_json()) for k, recipe in enumerate(recipes))
    return Segment(
        segment_id=1, cohort=cohort, from_epoch=from_epoch, to_epoch=to_epoch, seed=0, checkpoints=checkpoints or {}
    )


def reports_of(train: Trainer, segment: Segment) -> dict[int, list[Report]]:
    by_trial = defaultdict(list)
    for message in train(segment):
        assert isinstance(message, Report)
        by_trial[message.trial_id].append(message)
    return by_trial


def repeatable(report: Report) -> dict[str, float]:
    return {name: value for name, value in report.metrics.items() if name not in CLOCKED}


def test_a_segment_reports_every_epoch_of_every_trial(train: Trainer) -> None:
    reports = reports_of(train, segment(GOOD, GOOD))

    assert {trial_id: [report.epoch for report in all_] for trial_id, all_ in reports.items()} == {
        0: [1, 2, 3],
        1: [1, 2, 3],
    }
    for report in (*reports[0], *reports[1]):
        assert report.metrics.keys() >= METRICS
        assert all(map(math.isfinite, report.metrics.values()))


@pytest.mark.parametrize("lanes", [1, 2])
def test_reports_hold_the_size_of_the_network_frozen_layers_included(
    splits: Splits, tmp_path: Path, lanes: int
) -> None:
    workload = TorchWorkload(
        train=splits.train, validation=splits.validation, num_classes=10, paths=SweepPaths(tmp_path), lanes=lanes
    )
    frozen = GOOD.model_copy(update={"frozen_layers": 1})

    reports = reports_of(workload.open(num_threads=1, use_gpu=False), segment(frozen, frozen, to_epoch=1))

    sizes = [
        (report.metrics["num_parameters"], report.metrics["lanes"]) for all_ in reports.values() for report in all_
    ]
    assert sizes == [(64 * 16 + 16 + 16 * 10 + 10, lanes)] * 2


def test_the_last_report_alone_names_a_checkpoint_that_is_on_disk(train: Trainer) -> None:
    [reports] = reports_of(train, segment(GOOD)).values()

    assert [report.checkpoint is None for report in reports] == [True, True, False]
    assert reports[-1].checkpoint is not None
    assert read_checkpoint(Path(reports[-1].checkpoint)).epoch == 3


def test_a_segment_run_twice_gives_the_same_reports(train: Trainer) -> None:
    first, second = (reports_of(train, segment(GOOD)) for _ in range(2))

    assert list(map(repeatable, first[0])) == list(map(repeatable, second[0]))


def test_two_segments_equal_one(train: Trainer) -> None:
    whole = reports_of(train, segment(GOOD))[0]
    first = reports_of(train, segment(GOOD, to_epoch=1))[0]
    assert first[-1].checkpoint is not None

    second = reports_of(train, segment(GOOD, from_epoch=1, checkpoints={0: first[-1].checkpoint}))[0]

    assert list(map(repeatable, [*first, *second])) == list(map(repeatable, whole))


def test_another_attempt_writes_another_file(train: Trainer) -> None:
    first = reports_of(train, segment(GOOD, to_epoch=1))[0][-1]
    second = reports_of(train, replace(segment(GOOD, to_epoch=1), attempt=1))[0][-1]

    assert first.checkpoint != second.checkpoint
    assert all(report.checkpoint and Path(report.checkpoint).exists() for report in (first, second))


def test_a_trial_that_diverges_says_where_and_the_others_go_on(train: Trainer) -> None:
    reports = reports_of(train, segment(GOOD, BAD, GOOD))

    [diverged] = reports[1]
    assert diverged.epoch == 1
    assert diverged.first_bad_step is not None
    assert "val_accuracy" not in diverged.metrics
    assert diverged.checkpoint is None
    assert len(reports[0]) == len(reports[2]) == 3


def test_a_trial_that_raises_becomes_a_failure_and_the_others_go_on(train: Trainer, tmp_path: Path) -> None:
    kept = reports_of(train, segment(GOOD, to_epoch=1))[0][-1].checkpoint
    assert kept is not None
    gone = str(tmp_path / "gone.safetensors")

    messages = list(train(segment(GOOD, GOOD, from_epoch=1, checkpoints={0: gone, 1: kept})))

    [failure] = [message for message in messages if isinstance(message, Failure)]
    assert failure.trial_id == 0
    assert failure.error.startswith(f"HpoError: {gone}: must be a checkpoint that a trial wrote")
    assert failure.traceback.startswith("Traceback (most recent call last)")
    assert [message.epoch for message in messages if isinstance(message, Report)] == [2, 3]


def test_a_plateau_lowers_the_rate_of_each_trial_by_its_own_losses(train: Trainer) -> None:
    plateau = Plateau(factor=0.5, patience=0, threshold=0.9)  # no loss falls so far in an epoch
    recipes = [GOOD.model_copy(update={"schedule": schedule}) for schedule in (plateau, Constant())]

    reports = reports_of(train, segment(*recipes))

    assert [report.metrics["lr"] for report in reports[0]] == pytest.approx([0.1, 0.1, 0.05])
    assert [report.metrics["lr"] for report in reports[1]] == pytest.approx([0.1, 0.1, 0.1])


def test_torchs_own_generator_is_left_as_it_was(train: Trainer) -> None:
    torch.manual_seed(7)
    before = torch.random.get_rng_state()

    list(train(segment(GOOD, to_epoch=1)))

    assert torch.random.get_rng_state().equal(before)


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize(
    "fields",
    [
        {"ema_half_life": 0.5},
        {"swa_start": 0.3},
        {"batch_growth": BatchGrowth(every=0.25, most=64)},
        {"schedule": Plateau(patience=0, threshold=0.5, cooldown=1)},
        {"early_stopping": EarlyStopping(patience=4, min_delta=100.0)},
        {"optimizer": AdamW(amsgrad=True)},
        {"optimizer": NAdam()},
    ],
    ids=lambda fields: next(iter(fields)),
)
@pytest.mark.parametrize(
    "model",
    [Mlp(hidden=(16, 16), norm="batch", dropout=0.2), Resnet(depth=8, width=4)],
    ids=lambda model: model.kind,
)
def test_a_trial_that_crosses_checkpoints_goes_on_exactly_where_it_was(
    splits: Splits, tmp_path: Path, model: Model, fields: dict[str, object], lanes: int
) -> None:
    workload = TorchWorkload(
        train=Examples(splits.train.x[:128], splits.train.y[:128]),
        validation=splits.validation,
        num_classes=10,
        paths=SweepPaths(tmp_path),
        lanes=lanes,
    )
    train = workload.open(num_threads=1, use_gpu=False)
    recipe = Recipe(model=model, epochs=4, batch_size=32).model_copy(update=fields)
    undisturbed = reports_of(train, segment(recipe, recipe, to_epoch=4))

    first = reports_of(train, segment(recipe, recipe, to_epoch=2))
    checkpoints = {trial_id: str(reports[-1].checkpoint) for trial_id, reports in first.items()}
    second = reports_of(train, segment(recipe, recipe, from_epoch=2, to_epoch=4, checkpoints=checkpoints))

    for trial_id, reports in undisturbed.items():
        ours = [repeatable(report) for report in first[trial_id] + second[trial_id]]
        assert ours == [repeatable(report) for report in reports]


RESTLESS = Recipe(  # its validation loss goes up and down
    model=Mlp(hidden=(16,), norm="batch"), optimizer=Sgd(lr=0.8), schedule=Constant(), batch_size=16, epochs=8
)


def with_patience(patience: int, **fields: object) -> Recipe:
    return RESTLESS.model_copy(update={"early_stopping": EarlyStopping(patience=patience), **fields})


def prechelts(losses: list[float], patience: int) -> tuple[int, int]:
    """The epoch that ends training and the best one, found with hindsight."""
    for last in range(1, len(losses) + 1):
        best = losses.index(min(losses[:last])) + 1
        if last - best == patience:
            return last, best
    return len(losses), losses.index(min(losses)) + 1


@pytest.fixture
def losses(train: Trainer) -> list[float]:
    return [report.metrics["val_loss"] for report in reports_of(train, segment(RESTLESS, to_epoch=8))[0]]


@pytest.mark.parametrize("patience", [1, 2, 8])
def test_a_trial_that_learns_no_more_ends_and_speaks_of_its_best_epoch(
    train: Trainer, losses: list[float], patience: int
) -> None:
    last, best = prechelts(losses, patience)

    reports = reports_of(train, segment(with_patience(patience), to_epoch=8))[0]

    assert [report.epoch for report in reports] == list(range(1, last + 1))
    assert [report.metrics["val_loss"] for report in reports] == [*losses[: last - 1], losses[best - 1]]
    assert [report.best_epoch for report in reports] == [None] * (last - 1) + [best]
    assert best < last


def test_the_last_checkpoint_of_a_trial_that_stops_early_holds_what_was_measured(
    train: Trainer, splits: Splits
) -> None:
    report = reports_of(train, segment(with_patience(1, swa_start=0.1), to_epoch=8))[0][-1]
    state = read_checkpoint(Path(str(report.checkpoint)))
    module = RESTLESS.model.build(splits.input_shape, 10).eval()
    x, y = torch.from_numpy(splits.validation.x), torch.from_numpy(splits.validation.y)

    found = {}
    for prefix, tensors in (("", state.module), ("swa_", state.averaged)):
        module.load_state_dict(tensors)
        found[f"{prefix}val_loss"] = nn.functional.cross_entropy(module(x), y).item()

    assert state.epoch == report.best_epoch
    assert found == pytest.approx({name: report.metrics[name] for name in found}, rel=1e-5)
    assert state.optimizer == {}


@pytest.mark.parametrize("patience", [0, 1])
def test_the_last_checkpoint_holds_what_its_network_predicts(train: Trainer, splits: Splits, patience: int) -> None:
    recipe = with_patience(patience, swa_start=0.1)

    report = reports_of(train, segment(recipe, to_epoch=8))[0][-1]

    epoch = report.best_epoch or report.epoch
    predicted = read_predictions(str(report.checkpoint))
    assert predicted.keys() == {(epoch, RAW), (epoch, AVERAGED)}
    for prefix, weights in (("", RAW), ("swa_", AVERAGED)):
        loss = nll(predicted[epoch, weights], splits)
        assert loss == pytest.approx(report.metrics[f"{prefix}val_loss"], rel=1e-3)


def test_a_trial_leaves_a_snapshot_at_the_end_of_each_cycle(train: Trainer, splits: Splits) -> None:
    recipe = RESTLESS.model_copy(update={"schedule": WarmRestarts(cycles=4), "snapshots": "all"})
    first = reports_of(train, segment(recipe, to_epoch=5))[0]

    second = reports_of(train, segment(recipe, from_epoch=5, to_epoch=8, checkpoints={0: str(first[-1].checkpoint)}))[0]

    losses = {report.epoch: report.metrics["val_loss"] for report in (*first, *second)}
    left = str(second[-1].checkpoint)
    found = {epoch: nll(log_probs, splits) for (epoch, _), log_probs in read_predictions(left).items()}
    assert found == pytest.approx({epoch: losses[epoch] for epoch in (2, 4, 6, 8)}, rel=1e-3)
    module = RESTLESS.model.build(splits.input_shape, 10).eval()
    x, y = torch.from_numpy(splits.validation.x), torch.from_numpy(splits.validation.y)
    for snapshot in read_checkpoint(left).course.snapshots:
        module.load_state_dict(snapshot.module)
        assert nn.functional.cross_entropy(module(x), y).item() == pytest.approx(losses[snapshot.epoch], rel=1e-5)


def nll(log_probs: Predicted, splits: Splits) -> float:
    return -float(np.take_along_axis(log_probs.astype(float), splits.validation.y[:, None], axis=1).mean())


def test_a_trial_that_diverges_does_not_go_back() -> None:
    course = Course(best=Best(epoch=1, metrics={"val_loss": 0.5}, module={}))
    diverged = Report(trial_id=0, epoch=2, metrics={"lr": 0.1}, first_bad_step=77)

    assert concluded(with_patience(1), course, diverged) == diverged
    assert concluded(with_patience(1), course, replace(diverged, first_bad_step=None)).best_epoch == 1


@pytest.mark.parametrize("patience", [1, 8])
def test_a_segment_in_which_a_trial_stops_early_gives_the_same_reports_again(train: Trainer, patience: int) -> None:
    first, second = (reports_of(train, segment(with_patience(patience), to_epoch=8))[0] for _ in range(2))

    assert list(map(repeatable, first)) == list(map(repeatable, second))


def test_lanes_stop_early_each_by_itself(splits: Splits, tmp_path: Path) -> None:
    recipes = [with_patience(patience) for patience in (1, 0, 2)]
    found = []
    for lanes in (1, 3):
        workload = TorchWorkload(
            train=Examples(splits.train.x.astype("float64"), splits.train.y),
            validation=Examples(splits.validation.x.astype("float64"), splits.validation.y),
            num_classes=10,
            paths=SweepPaths(tmp_path),
            lanes=lanes,
        )
        found.append(reports_of(workload.open(num_threads=1, use_gpu=False), segment(*recipes, to_epoch=8)))

    alone, together = found
    for trial_id, reports in alone.items():
        assert [report.best_epoch for report in together[trial_id]] == [report.best_epoch for report in reports]
        expected = [report.metrics["val_loss"] for report in reports]
        assert [report.metrics["val_loss"] for report in together[trial_id]] == pytest.approx(expected, abs=1e-6)
    assert len(alone[0]) < len(alone[1]) == 8


@pytest.mark.parametrize(
    ("loss", "is_best"), [(0.89, True), (0.9, False), (0.95, False), (math.nan, False), (math.inf, False)]
)
def test_a_new_best_lies_below_the_best_by_more_than_min_delta(loss: float, is_best: bool) -> None:
    stopping = EarlyStopping(patience=1, min_delta=0.1)

    assert stopping.is_best(loss, best=1.0) is is_best
    assert stopping.is_best(5.0, best=math.inf)


@pytest.mark.parametrize("lanes", [1, 2])
def test_where_the_disk_is_full_nobody_trains_again_or_goes_on(
    lanes: int, splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = TorchWorkload(
        train=splits.train, validation=splits.validation, num_classes=10, paths=SweepPaths(tmp_path), lanes=lanes
    )
    train = workload.open(num_threads=1, use_gpu=False)

    def full(path: Path, state: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("hpo.training.loop.write_checkpoint", full)

    messages = list(train(segment(GOOD, GOOD, GOOD, GOOD, to_epoch=1)))

    failures = [message for message in messages if isinstance(message, Failure)]
    assert [(failure.trial_id, failure.is_disk_full) for failure in failures] == [(0, True)]
    assert messages == failures
