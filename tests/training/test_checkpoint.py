from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hpo.errors import HpoError
from hpo.training.checkpoint import read_checkpoint, read_predictions, write_checkpoint
from hpo.training.schedules import PlateauMemory
from hpo.training.state import RAW, Best, Course, Snapshot, TrialState


def make_state(epoch: int = 3) -> TrialState:
    return TrialState(
        epoch=epoch,
        module={"0.weight": torch.randn(3, 2), "1.num_batches_tracked": torch.tensor(7)},
        optimizer={"momentum_buffer.0.weight": torch.randn(3, 2)},
        course=Course(plateau=PlateauMemory(factor=0.3, best=1.25, num_bad=2, num_cooling=1)),
    )


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    state = make_state()
    write_checkpoint(tmp_path / "trial" / "epoch.safetensors", state)

    read = read_checkpoint(tmp_path / "trial" / "epoch.safetensors")

    assert read.epoch == 3
    assert read.course == state.course
    for written, found in ((state.module, read.module), (state.optimizer, read.optimizer)):
        assert written.keys() == found.keys()
        assert all(found[name].equal(value) and found[name].dtype == value.dtype for name, value in written.items())


def test_the_best_state_so_far_comes_back_too(tmp_path: Path) -> None:
    best = Best(epoch=2, metrics={"val_loss": 0.5}, module={"w": torch.randn(3)}, averaged={"w": torch.randn(3)})
    path = tmp_path / "epoch.safetensors"

    write_checkpoint(path, replace(make_state(), course=Course(best=best)))

    read = read_checkpoint(path)
    assert read.course.best is not None
    assert (read.course.best.epoch, read.course.best.metrics) == (2, {"val_loss": 0.5})
    assert read.course.best.module["w"].equal(best.module["w"])
    assert read.course.best.averaged["w"].equal(best.averaged["w"])
    assert read.module.keys() == make_state().module.keys()


def test_snapshots_and_predictions_come_back_too(tmp_path: Path) -> None:
    first, second = (
        Snapshot(epoch=epoch, module={"w": torch.randn(3)}, log_probs={RAW: torch.randn(4, 2).half()})
        for epoch in (9, 18)
    )
    state = replace(make_state(27), log_probs={RAW: torch.randn(4, 2).half()}, course=Course(snapshots=(first, second)))
    path = tmp_path / "epoch.safetensors"

    write_checkpoint(path, state)

    read = read_checkpoint(path)
    assert read.log_probs[RAW].equal(state.log_probs[RAW])
    for written, found in zip((first, second), read.course.snapshots, strict=True):
        assert found.epoch == written.epoch
        assert found.module["w"].equal(written.module["w"])
        assert found.log_probs[RAW].equal(written.log_probs[RAW])
    assert read_predictions(path) == {
        (27, RAW): approx(state.log_probs[RAW]),
        (9, RAW): approx(first.log_probs[RAW]),
        (18, RAW): approx(second.log_probs[RAW]),
    }


def approx(log_probs: torch.Tensor) -> object:
    return pytest.approx(log_probs.double().numpy())


def test_a_view_is_written_with_its_own_values_only(tmp_path: Path) -> None:
    stacked = torch.randn(1000, 4)
    path = tmp_path / "lane.safetensors"

    write_checkpoint(path, TrialState(epoch=1, module={"weight": stacked.T[2]}, optimizer={}))

    assert read_checkpoint(path).module["weight"].equal(stacked[:, 2])
    assert path.stat().st_size < 5000


def test_a_checkpoint_is_replaced_as_a_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "epoch.safetensors"
    write_checkpoint(path, make_state(1))

    write_checkpoint(path, make_state(2))

    assert read_checkpoint(path).epoch == 2
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("damage", ["missing", "cut short", "something else"])
def test_a_damaged_checkpoint_is_told(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "epoch.safetensors"
    if damage != "missing":
        write_checkpoint(path, make_state())
        path.write_bytes(path.read_bytes()[:-5] if damage == "cut short" else b"not a checkpoint at all")

    with pytest.raises(HpoError, match=r"epoch\.safetensors: must be a checkpoint that a trial wrote, but "):
        read_checkpoint(path)
