"""The benchmarks run; their figures mean nothing here."""

import subprocess
import sys
from itertools import accumulate
from pathlib import Path

import pytest

from experiments.benchmarks.shares import Held, run_together

BENCHMARKS = Path(__file__).parents[2] / "experiments" / "benchmarks"


@pytest.mark.slow
def test_the_benchmark_of_lanes_writes_the_table_that_it_prints(tmp_path: Path) -> None:
    table = tmp_path / "lanes.md"
    nets = ("MLP 64-128-10", "ResNet-8 (a user's)")
    command = [sys.executable, str(BENCHMARKS / "lanes.py"), "--quick", "--nets", *nets, "--batch-sizes", "32"]

    done = subprocess.run([*command, "--out", str(table)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    rows = [line for line in table.read_text().splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows] == ["| net", *(f"| {net}" for net in nets)]
    assert "2 lanes" in rows[0]
    assert "MLP" in done.stdout


@pytest.mark.slow
def test_the_benchmark_of_a_cnn_step_times_every_form(tmp_path: Path) -> None:
    table = tmp_path / "cnn_step.md"
    effort = ("--channels", "4", "--batch-sizes", "8", "--steps", "1", "--rounds", "1")
    command = [sys.executable, str(BENCHMARKS / "cnn_step.py"), *effort]

    done = subprocess.run([*command, "--out", str(table)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in table.read_text().splitlines() if line.startswith("| ")]
    assert rows[1][0::2] == ["| naive", "1.00", "1.00 |"]
    assert rows[-1][0] == "| all of them: Solo"


@pytest.mark.slow
def test_the_benchmark_of_test_accuracy_opens_the_test_split_with_the_winner(tmp_path: Path) -> None:
    table = tmp_path / "test_accuracy.md"
    settings = ("--seeds", "3", "-s", "budget.trials=2", "-s", "scheduler={kind: none}", "-s", "epochs=1")
    command = [sys.executable, str(BENCHMARKS / "test_accuracy.py"), str(BENCHMARKS.parent / "digits.yaml"), *settings]

    done = subprocess.run([*command, "--out", str(table)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    *_, row = (line.strip("| ").split(" | ") for line in table.read_text().splitlines() if line.startswith("| "))
    assert (row[0], row[1], row[3], row[4]) == ("digits", "3", "2", "2")
    assert 0.1 < float(row[-1]) <= 1


@pytest.mark.slow
def test_the_benchmark_of_an_exported_ensemble_compares_it_with_its_members(tmp_path: Path) -> None:
    table = tmp_path / "ensemble_latency.md"
    command = [sys.executable, str(BENCHMARKS / "ensemble_latency.py"), "--num-train", "256", "--rounds", "1"]

    done = subprocess.run([*command, "--out", str(table)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    text = table.read_text()
    assert "0 predicted differently" in text
    assert [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")] == ["| batch", "| 1", "| 64"]


@pytest.mark.slow
def test_three_sweeps_on_one_cluster_all_finish_and_never_hold_more_slots_than_there_are() -> None:
    sweeps = run_together(((1.0, 8), (2.0, 12), (5.0, 24)), num_slots=4, segment_s=0.5)

    assert [len(held) for held in sweeps] == [8, 12, 24]
    assert most_at_once([each for held in sweeps for each in held]) <= 4


def most_at_once(held: list[Held]) -> int:
    """Of one machine's clock; a segment that begins as another one ends is not beside it."""
    turns = sorted([(each.from_s, 1) for each in held] + [(each.to_s, -1) for each in held])
    return max(accumulate(step for _, step in turns))
