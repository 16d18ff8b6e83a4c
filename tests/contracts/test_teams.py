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
from hpo.execution import LocalExecutor
from hpo.execution.capacity import num_slots, unmet
from hpo.execution.ray import RayExecutor
from hpo.paths import SweepPaths
from hpo.records import Begun, Failure, Message, Report, Seat, Segment, TrialSpec
from hpo.training.data import Digits
from hpo.training.models import Mlp
from hpo.training.ranks import take_seat
from hpo.training.recipe import Recipe
from hpo.training.workload import TorchWorkload
from tests.contracts.test_executors import Conversation

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
                except Exception as error:
                    yield Failure(
                        trial_id=trial.trial_id, error=f"{type(error).__name__}: {error}", traceback="of rank 1"
                    )
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


def test_what_one_rank_raises_is_the_trials_failure_and_the_others_train_on(two_slots: None, tmp_path: Path) -> None:
    conversation = Conversation([segment(1, "", "raise", ""), segment(2, "")])

    conversation.hold(RayExecutor(Meetings(tmp_path), folder=tmp_path, workers=2))

    assert conversation.ends[1].lost is None
    [failure] = conversation.ends[1].failures
    assert (failure.trial_id, failure.error) == (11, "ZeroDivisionError: at rank 1")
    assert failure.traceback == "of rank 1"
    assert {trial: [report.epoch for report in said] for trial, said in conversation.reports.items()} == {
        10: [1, 2, 3],
        11: [1, 2],
        12: [1, 2, 3],
        20: [1, 2, 3],
    }
    assert {report.metrics["val_loss"] for said in conversation.reports.values() for report in said} == {2.0}


def test_a_rank_that_dies_loses_the_segment_and_the_next_attempt_has_a_whole_team(
    two_slots: None, tmp_path: Path
) -> None:
    conversation = Conversation([segment(1, "die"), segment(2, "die")])

    conversation.hold(RayExecutor(Meetings(tmp_path), folder=tmp_path, workers=2))

    assert conversation.ends[1].lost is not None
    assert conversation.ends[1].failures == ()
    assert conversation.ends[2].lost is None
    assert [report.epoch for report in conversation.reports[20]] == [1, 2, 3]


def test_a_rank_that_hangs_is_ended_with_all_others(two_slots: None, tmp_path: Path) -> None:
    workload = Meetings(tmp_path)
    conversation = Conversation([replace(segment(1, "hang"), left_s={10: 5.0}), segment(2, "")])

    conversation.hold(RayExecutor(workload, folder=tmp_path, workers=2))

    assert conversation.ends[1].hung == (10,)
    assert [report.epoch for report in conversation.reports[20]] == [1, 2, 3]
    until_s = time.monotonic() + 60
    while workload.living() and time.monotonic() < until_s:
        time.sleep(0.1)
    assert workload.living() == []


def test_two_workers_and_one_train_alike_across_a_rung(two_slots: None, tmp_path: Path) -> None:
    splits = Digits().load(0)
    workload = TorchWorkload(
        train=splits.train, validation=splits.validation, num_classes=10, paths=SweepPaths(tmp_path), lanes=1
    )
    recipe = Recipe(
        model=Mlp(hidden=(16,)), batch_size=128, epochs=4, ema_half_life=1.0, grad_clip=1.0
    ).model_dump_json()
    together = lambda: RayExecutor(workload, folder=tmp_path / "tune", workers=2)  # noqa: E731
    alone = lambda: LocalExecutor(workload)  # noqa: E731

    def losses(*legs: Callable[[], RayExecutor | LocalExecutor]) -> list[float]:
        """Of each epoch, of which every leg trains two."""
        checkpoint: dict[int, str] = {}
        found = []
        for number, make in enumerate(legs):
            leg = replace(
                segment(1, recipe, to_epoch=2 * number + 2),
                from_epoch=2 * number,
                checkpoints=checkpoint,
            )
            conversation = Conversation([leg])
            conversation.hold(make())
            assert conversation.ends[1].failures == ()
            found += [report.metrics["train_loss"] for report in conversation.reports[10]]
            checkpoint = {10: str(conversation.reports[10][-1].checkpoint)}
        return found

    expected = losses(alone, alone)
    for legs in ((together, together), (together, alone), (alone, together)):
        assert losses(*legs) == pytest.approx(expected, rel=1e-4)
    assert len(expected) == 4


def test_slots_are_counted_by_teams(two_slots: None, tmp_path: Path) -> None:
    assert num_slots(1, 0, None, workers=2) == 1
    assert num_slots(0.5, 0, None, workers=2) == 2
    with pytest.raises(ResourceError, match=r"must hold workers=3 with cpus=1 and gpus=0 each, but holds 2"):
        RayExecutor(Meetings(tmp_path), folder=tmp_path, workers=3)


def test_what_a_team_waits_for_is_told_in_numbers(two_slots: None) -> None:
    assert unmet(1, cpus=1, gpus=0, workers=2) == (
        "1 segment waits for 2 workers with cpus=1 and gpus=0 each; the cluster has 2 of 2 CPUs free"
    )
