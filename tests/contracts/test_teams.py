"""A trial that several workers train together, through Ray."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
import torch
from ray import cloudpickle
from torch import distributed

from hpo.errors import ResourceError
from hpo.execution import Executor, LocalExecutor
from hpo.execution.capacity import Portion, num_slots, unmet
from hpo.execution.ray import RayExecutor
from hpo.paths import SweepPaths
from hpo.records import Begun, Failure, Message, Report, Seat, Segment, TrialSpec
from hpo.training.data import Digits
from hpo.training.models import Mlp
from hpo.training.ranks import take_seat
from hpo.training.recipe import Recipe
from hpo.training.workload import TorchWorkload
from tests.contracts.test_executors import Arithmetic, Conversation

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import the tests
cloudpickle.register_pickle_by_value(sys.modules["tests.contracts.test_executors"])


@dataclass(frozen=True)
class Meetings:
    """Trials that meet at every epoch; the recipe says what becomes of the second rank before the last of them."""

    scratch: Path

    def open(self, *, num_threads: int, use_gpu: bool) -> Callable[[Segment], Iterator[Message]]:
        raise NotImplementedError

    def open_rank(self, seat: Seat, *, num_threads: int, use_gpu: bool) -> Callable[[Segment], Iterator[Message]]:
        take_seat(seat, use_gpu=use_gpu)
        (self.scratch / f"{os.getpid()}.process").touch()
        return partial(self._train, seat.rank)

    def _train(self, rank: int, segment: Segment) -> Iterator[Message]:
        for trial in segment.cohort:
            if segment.left_s:
                yield Begun(trial_ids=(trial.trial_id,))
            for epoch in range(segment.from_epoch + 1, segment.to_epoch + 1):
                met = torch.ones(1)
                try:
                    if rank == 1 and epoch == segment.to_epoch:
                        self._suffer(trial.recipe)
                    distributed.all_reduce(met)
                except (ZeroDivisionError, RuntimeError) as error:  # the latter where the other is gone
                    text = f"{type(error).__name__}: {error}"
                    yield Failure(trial_id=trial.trial_id, error=text, traceback=f"of rank {rank}")
                    break
                yield Report(trial_id=trial.trial_id, epoch=epoch, metrics={"val_loss": met.item(), "seconds": 0.0})

    def _suffer(self, fate: str) -> None:
        if fate == "raise":
            raise ZeroDivisionError("at rank 1")
        if fate and not (self.scratch / fate).exists():
            (self.scratch / fate).touch()
            if fate == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if fate == "hang":
                time.sleep(3600)

    def living(self) -> list[int]:
        """Processes of ranks that have not ended."""
        pids = [int(path.stem) for path in self.scratch.glob("*.process")]
        return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def segment(segment_id: int, *recipes: str, to_epoch: int = 3) -> Segment:
    cohort = tuple(TrialSpec(trial_id=10 * segment_id + k, recipe=recipe) for k, recipe in enumerate(recipes))
    return Segment(segment_id=segment_id, cohort=cohort, from_epoch=0, to_epoch=to_epoch, seed=0)


@pytest.fixture(scope="module")
def unlucky(own_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Conversation:
    """A team that is hit twice."""
    scratch = tmp_path_factory.mktemp("unlucky")
    conversation = Conversation([segment(1, "die"), segment(2, "", "raise", ""), segment(3, "die")])
    conversation.hold(RayExecutor(Meetings(scratch), folder=scratch, portion=Portion(workers=2)))
    return conversation


def test_a_rank_that_dies_loses_its_segment_which_then_trains_again(unlucky: Conversation) -> None:
    first, again = unlucky.ends[1], unlucky.ends[3]

    assert first.lost is not None
    assert first.failures == ()
    assert again.lost is None
    assert [report.epoch for report in unlucky.reports[30]] == [1, 2, 3]


def test_what_one_rank_raises_is_the_failure_of_its_trial(unlucky: Conversation) -> None:
    end = unlucky.ends[2]

    assert end.lost is None
    assert end.failures == (Failure(trial_id=21, error="ZeroDivisionError: at rank 1", traceback="of rank 1"),)


def test_what_one_rank_raises_costs_no_other_trial(unlucky: Conversation) -> None:
    epochs = {trial: [report.epoch for report in said] for trial, said in unlucky.reports.items() if trial // 10 == 2}

    assert epochs == {20: [1, 2, 3], 21: [1, 2], 22: [1, 2, 3]}
    assert {report.metrics["val_loss"] for said in unlucky.reports.values() for report in said} == {2.0}


@pytest.mark.slow
def test_a_rank_that_hangs_is_ended_with_all_others(two_slots: None, tmp_path: Path) -> None:
    workload = Meetings(tmp_path)
    conversation = Conversation([replace(segment(1, "hang"), left_s={10: 5.0}), segment(2, "")])

    conversation.hold(RayExecutor(workload, folder=tmp_path, portion=Portion(workers=2)))

    assert conversation.ends[1].hung == (10,)
    assert [report.epoch for report in conversation.reports[20]] == [1, 2, 3]
    until_s = time.monotonic() + 60
    while workload.living() and time.monotonic() < until_s:
        time.sleep(0.1)
    assert workload.living() == []


def test_two_workers_train_as_one_does_and_each_goes_on_from_the_others_states(two_slots: None, tmp_path: Path) -> None:
    splits = Digits().load(0)
    model = Mlp(hidden=(16,))
    recipe = Recipe(model=model, batch_size=128, epochs=4, ema_half_life=1.0, grad_clip=1.0).model_dump_json()
    first = segment(1, recipe, to_epoch=2)
    second = replace(first, segment_id=2, from_epoch=2, to_epoch=4, attempt=1)

    def workload(paths: SweepPaths) -> TorchWorkload:
        return TorchWorkload(train=splits.train, validation=splits.validation, num_classes=10, paths=paths, lanes=1)

    def losses(executor: Executor, *segments: Segment) -> list[float]:
        conversation = Conversation(list(segments))
        conversation.hold(executor)
        return [report.metrics["train_loss"] for report in conversation.reports[10]]

    of_one, of_two = SweepPaths(tmp_path / "one"), SweepPaths(tmp_path / "two")
    after_one, after_two = (
        replace(second, checkpoints={10: str(paths.checkpoint(10, 2, 0, 0))}) for paths in (of_one, of_two)
    )
    alone = LocalExecutor(workload(of_one))
    expected = losses(alone, first, after_one)

    found = losses(
        RayExecutor(workload(of_two), folder=tmp_path / "tune", portion=Portion(workers=2)),
        *(first, after_two, replace(after_one, segment_id=3, attempt=2)),
    )

    assert found == pytest.approx([*expected, *expected[2:]], rel=1e-4)
    assert losses(alone, after_two) == pytest.approx(expected[2:], rel=1e-4)


def test_slots_are_counted_by_teams(two_slots: None, tmp_path: Path) -> None:
    assert num_slots(Portion(workers=2), None) == 1
    assert num_slots(Portion(cpus=0.5, workers=2), None) == 2
    with pytest.raises(ResourceError, match=r"must hold workers=3 with cpus=1 and gpus=0 each, but holds 2"):
        RayExecutor(Meetings(tmp_path), folder=tmp_path, portion=Portion(workers=3))


def test_what_a_team_waits_for_is_told_in_numbers(two_slots: None) -> None:
    sentence = unmet(1, Portion(workers=2))

    assert sentence.startswith("1 segment waits for 2 workers with cpus=1 and gpus=0 each; the cluster has ")


def test_what_cannot_be_shared_is_refused(two_slots: None, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"resources.workers: must be 1 for what .* but got 2"):
        RayExecutor(Arithmetic(tmp_path), folder=tmp_path, portion=Portion(workers=2))
