"""The benchmark of searches: its figures by hand, and one small run of it all."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.benchmarks.search_peers.serving import Budgeted, Job, Stopping
from experiments.benchmarks.search_report import Run, interval, mean_ranks, regrets

ROOT = Path(__file__).parents[2]


def test_regret_is_that_of_the_last_improvement_within_the_budget() -> None:
    run = Run(method="a", task="t", seed=0, regrets=[(4.0, 0.9), (8.0, 0.5), (12.0, 0.1)])

    assert [run.at(budget) for budget in (3, 4, 11.9, 12, 1000)] == [1.0, 0.9, 0.5, 0.1, 0.1]


def test_only_runs_of_all_methods_are_compared() -> None:
    runs = [
        Run(method=m, task="t", seed=s, regrets=[(1.0, r)]) for m, s, r in (("a", 0, 0.5), ("a", 1, 0.2), ("b", 0, 0.7))
    ]

    by_method = regrets(runs, [1, 2])

    assert {method: values.tolist() for method, values in by_method.items()} == {
        "a": [[[0.5, 0.5]]],
        "b": [[[0.7, 0.7]]],
    }


def test_equals_share_the_mean_of_their_ranks() -> None:
    by_method = {
        name: np.array(values).reshape(1, 2, 1)
        for name, values in {"a": [0.1, 0.2], "b": [0.1, 0.3], "c": [0.4, 0.1]}.items()
    }

    ranks = mean_ranks(by_method)

    assert ranks[:, 0].tolist() == [(1.5 + 2) / 2, (1.5 + 3) / 2, (3 + 1) / 2]


def test_the_interval_draws_seeds_again_but_not_tasks() -> None:
    generator = np.random.default_rng(0)
    tasks_differ = np.array([[0.2, 0.2], [0.8, 0.8]])[..., None]
    seeds_differ = np.array([[0.0, 1.0]])[..., None]

    assert interval(tasks_differ, generator)[:, 0].tolist() == [0.5, 0.5]
    assert interval(seeds_differ, generator)[:, 0].tolist() == [0.0, 1.0]


def test_a_peer_that_stops_trials_is_asked_for_those_that_go_on_first() -> None:
    peer = Stopping(lambda trial_id: {"x": trial_id}, lambda trial_id, epoch, cost: cost < 0.5, num_epochs=3)

    first, second = peer.suggest(), peer.suggest()
    peer.observe(0, 1, 0.9)
    peer.observe(1, 1, 0.1)

    assert (first, second) == (
        Job(trial_id=0, params={"x": 0}, to_epoch=1),
        Job(trial_id=1, params={"x": 1}, to_epoch=1),
    )
    assert peer.suggest() == Job(trial_id=1, params={"x": 1}, to_epoch=2)
    assert peer.suggest() == Job(trial_id=2, params={"x": 2}, to_epoch=1)


def test_a_peer_that_asks_again_for_what_was_trained_is_told_at_once() -> None:
    asked = iter([("c", {"x": 1}, 9, "first"), ("c", {"x": 1}, 3, "again"), ("d", {"x": 2}, 3, "other")])
    told: list[tuple[str, float]] = []
    peer = Budgeted(lambda: next(asked), lambda token, cost: told.append((token, cost)))

    peer.suggest()
    for epoch in range(1, 10):
        peer.observe(0, epoch, 1 / epoch)

    assert peer.suggest() == Job(trial_id=1, params={"x": 2}, to_epoch=3)
    assert told == [("first", 1 / 9), ("again", 1 / 3)]


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """Ten values of x, of which the one with x = k has accuracy k/10 after 3 epochs."""
    table = tmp_path / "curves.csv"
    table.write_text("x,epoch_1,epoch_2,epoch_3\n" + "\n".join(f"{k},{k / 30},{k / 15},{k / 10}" for k in range(1, 11)))
    task = {"curves": {"kind": "table", "path": str(table)}, "space": {"x": "uniform(1, 10)"}, "epochs": 3}
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps([{**task, "name": name, "best": 1.0, "median": 0.55} for name in ("one", "two")]))
    return path


@pytest.mark.slow
def test_ours_and_a_peer_are_compared_and_what_is_missing_is_left_out(tasks: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "experiments" / "benchmarks" / "search.py"), "--tasks", str(tasks)]
    command += ["--ours", "mine={sampler: {kind: random}, scheduler: {kind: none}}", "--out", "out.md"]
    command += ["--methods", "mine", "random", "Optuna TPE", "DEHB", "--peer-python", f"dehb_search={sys.executable}"]
    command += ["--seeds", "2", "--budgets", "12", "24"]

    done = [subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False) for _ in range(2)]

    assert [process.returncode for process in done] == [0, 0], done[0].stderr
    assert "left out: DEHB: ModuleNotFoundError: No module named " in done[0].stderr
    rows = {row.split(" | ")[0]: row.split(" | ")[1:] for row in done[0].stdout.splitlines()}
    assert rows.keys() == {"| method", "| ---", "| mine", "| random", "| Optuna TPE"}
    assert all(0 <= float(rows[f"| {name}"][1].split()[0]) < 1 for name in ("mine", "random", "Optuna TPE"))
    assert done[1].stdout == done[0].stdout
    assert "/12" in done[0].stderr
    assert "/12" not in done[1].stderr
    assert (tmp_path / "out.png").is_file()
    runs = [json.loads(line) for line in (tmp_path / "search_runs.jsonl").read_text().splitlines()]
    assert {point[0] <= 24 for run in runs for point in run["trace"]} == {True}
