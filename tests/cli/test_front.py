"""A sweep of two metrics: its Pareto front, as the commands show it."""

import csv
import io
import json

import pytest

from hpo.outcome import SweepResult
from hpo.records import TrialRecord
from hpo.run import run_sweep, start_local
from hpo.sweep import load_sweep
from tests.cli.conftest import SWEEP, Hpo


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    both = "metrics: [{name: val_accuracy, goal: maximize}, {name: num_parameters, goal: minimize}]"
    text = SWEEP.replace("metric: {name: val_accuracy, goal: maximize}", both).replace("small", "front")
    folder = tmp_path_factory.mktemp("front")
    path = folder / "front.yaml"
    path.write_text(text.replace("space:\n", "space:\n  model.hidden: choice([8], [16], [32])\n"))
    changes = ["sampler={kind: nsga2, population: 4}", "scheduler={kind: none}", "epochs=2"]
    sweep = load_sweep(path, [f"storage.checkpoints={folder / 'runs'}", *changes])
    return run_sweep(sweep, start_executor=start_local)


def pair(trial: TrialRecord) -> tuple[float, float]:
    assert trial.end is not None
    return trial.end.metrics["val_accuracy"], trial.end.metrics["num_parameters"]


def test_best_shows_the_front_besides_the_best_by_the_main_metric(hpo: Hpo, done: SweepResult) -> None:
    runs = ("--runs", done.paths.root.parent)
    best = json.loads(hpo("best", "front", "--json", *runs).stdout)
    shown = hpo("best", "front", *runs).output

    front = [row["metrics"] for row in best["front"]]
    assert done.best is not None
    assert best["trial"] == done.best.trial_id == best["front"][0]["trial"]
    assert [leg["trial"] for leg in best["lineage"]] == [best["trial"]]
    assert front == sorted(front, key=lambda metrics: -metrics["val_accuracy"])
    assert [row["num_parameters"] for row in front] == sorted((row["num_parameters"] for row in front), reverse=True)
    assert sorted(row["trial"] for row in best["front"]) == sorted(trial.trial_id for trial in done.front)
    assert "No other trial beats these in val_accuracy and num_parameters at once:" in shown


def test_trials_show_every_metric_and_mark_the_front(hpo: Hpo, done: SweepResult) -> None:
    runs = ("--runs", done.paths.root.parent)
    rows = json.loads(hpo("trials", "front", "--json", *runs).stdout)
    lines = hpo("trials", "front", *runs).output.splitlines()

    front = {trial.trial_id for trial in done.front}
    assert {row["trial"] for row in rows if row["on_front"]} == front
    assert {int(line.split()[1]) for line in lines if "*" in line} == front
    assert "parameters" in lines[1]
    assert {row["metrics"]["num_parameters"] for row in rows} <= {75 * width + 10 for width in (8, 16, 32)}


def test_the_leaderboard_marks_the_front(done: SweepResult) -> None:
    rows = list(csv.DictReader(io.StringIO(done.paths.leaderboard.read_text())))

    assert {int(row["trial"]) for row in rows if row["on_front"] == "True"} == {trial.trial_id for trial in done.front}


def test_one_trial_and_a_sweep_of_one_metric_have_no_front(hpo: Hpo, done: SweepResult, sweep_id: str) -> None:
    of_one = hpo("trial", f"{done.paths.sweep_id}/0", "--json", "--runs", done.paths.root.parent)

    assert "front" not in json.loads(of_one.stdout)
    assert "front" not in json.loads(hpo("best", sweep_id, "--json").stdout)
    assert "on_front" not in json.loads(hpo("trials", sweep_id, "--json").stdout)[0]
