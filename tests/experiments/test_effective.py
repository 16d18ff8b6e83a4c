"""The comparison of coordinates: its figures by hand, and one small run of it all."""

import subprocess
import sys
from pathlib import Path

import pytest

from experiments.benchmarks.effective import Run, as_markdown

ROOT = Path(__file__).parents[2]


def make(space: str, seed: int, costs: list[float | None]) -> Run:
    return Run(metric="val_accuracy", sampler="tpe", space=space, seed=seed, num_trials=5, costs=costs)


def test_differences_are_paired_by_seed_and_a_trial_that_diverged_is_never_the_best() -> None:
    runs = [
        *(make("effective", seed, [None, 9.0, best, 8.0, 7.0]) for seed, best in enumerate((1.0, 2.0, 3.0))),
        *(make("raw", seed, [8.0, None, best, 8.0, 7.0]) for seed, best in enumerate((1.5, 3.0, 4.5))),
    ]

    rows = as_markdown(runs).splitlines()

    # Student's t for two degrees of freedom is 4.303; the standard errors are 1, 1.5 and 0.5 over sqrt(3).
    assert rows[0] == "| best validation error in per cent after | 5 trials |"
    assert rows[2:] == [
        "| tpe, effective | 2.00 \u00b1 2.48 |",
        "| tpe, raw | 3.00 \u00b1 3.73 |",
        "| tpe, effective less raw | -1.00 \u00b1 1.24 |",
    ]


@pytest.mark.slow
def test_runs_that_are_in_the_file_are_not_run_again(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "experiments" / "benchmarks" / "effective.py"), "--seeds", "2"]
    command += ["--metrics", "val_loss", "--samplers", "coordinate", "--trials", "5", "--runs", str(tmp_path / "runs")]

    first, second = (subprocess.run(command, capture_output=True, text=True, check=False) for _ in range(2))

    assert first.returncode == second.returncode == 0, first.stderr
    assert len((tmp_path / "runs").read_text().splitlines()) == 4
    assert first.stdout == second.stdout
    assert [row.split(" | ")[0] for row in first.stdout.splitlines() if row.startswith("| coordinate")] == [
        "| coordinate, effective",
        "| coordinate, raw",
        "| coordinate, effective less raw",
    ]
    assert second.stderr == ""
