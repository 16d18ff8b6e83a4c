"""What one sees of a running sweep, and of its trials, in a terminal."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from hpo.cli.live import line, watching
from hpo.cli.text import clock, number
from hpo.cli.trials_table import trials_table
from hpo.config import JsonTree
from hpo.progress import EnsembleSoFar, Progress
from hpo.records import End, EndKind, Goal, TrialRecord
from hpo.spaces import LogUniform
from hpo.sweep import Metric, Sweep
from hpo.training.data import Digits
from hpo.training.models import Mlp

SWEEP = Sweep(
    name="digits",
    model=Mlp(hidden=(4,)),
    data=Digits(),
    metric=Metric(name="val_accuracy", goal=Goal.MAXIMIZE),
    space={"optimizer.lr": LogUniform(min=1e-3, max=1.0)},
)
BEST = TrialRecord(
    trial_id=7, params={}, values={1: 0.5, 2: 0.9125}, end=End(kind=EndKind.COMPLETE, epoch=2, value=0.9125)
)


def make_progress(*, num_running: int = 5, best: TrialRecord | None = BEST) -> Progress:
    return Progress(
        num_trials=20,
        num_planned=64,
        num_running=num_running,
        num_ready=0,
        ends={EndKind.STOPPED: 11, EndKind.DIVERGED: 2},
        rungs={1: 18, 3: 4},
        best=best,
        mean_lanes=4.0,
        num_epochs=30,
        elapsed_s=12.2,
        remaining_s=75.0,
    )


TOGETHER = EnsembleSoFar(num_members=4, nll=0.2124, accuracy=0.9512, single_nll=0.24, single_accuracy=0.94)


def in_terminal(progress: Progress) -> str:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    with watching(SWEEP, console) as watch:
        watch(progress)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_line_says_how_the_sweep_stands() -> None:
    assert line(SWEEP, make_progress()) == (
        "0:00:12  trials 13/64 (11 stopped, 2 diverged)  epochs 30  rungs 1:18 3:4  "
        "best val_accuracy 0.9125 (trial 7, epoch 2)  left 0:01:15"
    )


def test_a_line_shows_the_ensemble_so_far_beside_the_best_trial() -> None:
    assert (
        "best val_accuracy 0.9125 (trial 7, epoch 2)  ensemble of 4: NLL 0.212, accuracy 0.951; "
        "best single NLL 0.240, accuracy 0.940  left"
    ) in line(SWEEP, replace(make_progress(), ensemble=TOGETHER))


def test_a_terminal_shows_the_ensemble_so_far() -> None:
    said = in_terminal(replace(make_progress(), ensemble=TOGETHER))

    assert "ensemble  of 4: NLL 0.212, accuracy 0.951; best single NLL 0.240" in said


def test_a_line_at_the_end_has_nothing_left() -> None:
    assert "left" not in line(SWEEP, make_progress(num_running=0, best=None))


def test_lines_come_every_two_seconds_and_at_the_end() -> None:
    console = Console(file=io.StringIO(), width=200)

    with watching(SWEEP, console) as watch:
        watch(make_progress())
        watch(make_progress())
        watch(make_progress(num_running=0))

    assert isinstance(console.file, io.StringIO)
    assert len(console.file.getvalue().splitlines()) == 2


def test_a_terminal_shows_a_panel() -> None:
    said = in_terminal(make_progress())

    for part in (
        *("digits", "13 of 64 ended", "11 stopped", "2 diverged", "5 running", "epoch 1: 18", "epoch 3: 4"),
        *("val_accuracy 0.9125 (trial 7, epoch 2)", "30 epochs", "about 0:01:15 left"),
    ):
        assert part in said


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0.114252, "0.114"), (0.0123456, "0.0123"), (0.000123456, "1.2e-4"), (1.26e-5, "1.3e-5"), (0.0, "0")),
        *((3e20, "3.0e20"), (64, "64"), ("orthogonal", "orthogonal"), ([256, 256], "[256, 256]"), (None, "")),
    ],
)
def test_numbers_are_short(value: object, text: str) -> None:
    assert number(value) == text


def test_a_clock_counts_hours() -> None:
    assert clock(3725.4) == "1:02:05"


def make_row(**params: object) -> JsonTree:
    told = {"rank": 1, "trial": 49, "end": "complete", "epoch": 27, "value": 0.98329}
    return {**told, "params": params, "repeats": None, "reason": {}}


def shown_at(width: int, row: JsonTree) -> tuple[list[str], list[str]]:
    console = Console(file=io.StringIO(), width=width)
    table, left_out = trials_table([row], width)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines(), left_out


def test_six_params_fit_into_80_columns() -> None:
    row = make_row(
        **{
            "batch_size": 128,
            "initializer.kind": "kaiming_uniform",
            "model.dropout": 0.25,
            "optimizer.lr": 0.00114,
            "optimizer.momentum": 0.932,
            "optimizer.weight_decay": 1.8e-5,
        }
    )

    lines, left_out = shown_at(80, row)

    assert left_out == []
    assert max(map(len, lines)) <= 80
    assert lines[-1].split() == [
        *("1", "49", "complete", "27", "0.9833", "128", "kaiming_un\u2026", "0.25", "1.1e-3", "0.932", "1.8e-5")
    ]


def test_params_without_room_are_named() -> None:
    lines, left_out = shown_at(50, make_row(**{f"model.{name}": 0.123 for name in ("a", "b", "c", "d")}))

    assert left_out == ["model.d"]
    assert lines[0].split() == ["#", "trial", "end", "epoch", "value", "a", "b", "c"]


def test_params_of_one_name_keep_their_whole_path() -> None:
    lines, _ = shown_at(120, make_row(**{"schedule.floor": 0.1, "model.floor": 0.2, "model.dropout": 0.3}))

    assert lines[0].split()[5:] == ["dropout", "model.floor", "schedule.floor"]
