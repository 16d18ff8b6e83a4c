"""`hpo ensemble`, `hpo finalize` and `hpo best`: what a sweep with finalists has come to."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from hpo.config import JsonTree
from hpo.export import load_bundle
from hpo.harvest.finalize import finalize_sweep
from hpo.paths import SweepPaths, list_sweeps
from hpo.run import run_sweep, start_local
from hpo.search.storage import owned
from hpo.sweep import load_sweep
from hpo.training.data import Digits
from tests.cli.conftest import Hpo

SWEEP = """
name: pooled
data: {kind: digits}
model: {kind: mlp, hidden: [16]}
epochs: 3
metric: {name: val_accuracy, goal: maximize}
space: {optimizer.lr: 'loguniform(5e-2, 0.3)'}
sampler: {kind: random}
scheduler: {kind: none}
budget: {trials: 5}
finalists: {count: 2, seeds: 2}
ensemble: {kind: greedy, size: 3, min_gain: 0}
"""


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> SweepPaths:
    folder = tmp_path_factory.mktemp("pooled")
    (folder / "mlflow.db").write_bytes(empty_database.read_bytes())
    (folder / "pooled.yaml").write_text(SWEEP)
    settings = [f"storage.checkpoints={folder / 'runs'}", f"tracking.uri=sqlite:///{folder / 'mlflow.db'}"]
    return run_sweep(load_sweep(folder / "pooled.yaml", settings), start_executor=start_local).paths


@pytest.fixture
def told(hpo: Hpo, pooled: SweepPaths) -> Hpo:
    return lambda *arguments: hpo(*arguments, "--runs", pooled.root.parent)


@dataclass(frozen=True)
class Finalized:
    """The first opening of the test split."""

    record: JsonTree
    tags: Mapping[str, str]

    @property
    def rows(self) -> dict[str, JsonTree]:
        return {row["name"]: row for row in self.record["rows"]}


@pytest.fixture(scope="module")
def finalized(pooled: SweepPaths) -> Finalized:
    """Of the sweep as it ended: the fixture of the first tests."""
    record = finalize_sweep(pooled, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    return Finalized(record, runs_of(pooled)[""].data.tags)


def runs_of(paths: SweepPaths) -> dict[str, Run]:
    """By trial; the sweep's own by nothing."""
    client = MlflowClient(f"sqlite:///{paths.root.parent.parent / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("pooled")
    assert experiment is not None
    return {run.data.tags.get("hpo.trial", ""): run for run in client.search_runs([experiment.experiment_id])}


def test_finalize_writes_to_mlflow_when_the_test_split_was_opened(finalized: Finalized, pooled: SweepPaths) -> None:
    assert finalized.record["opened"] == ["2026-01-02T03:04:05+00:00"]
    assert finalized.tags["hpo.test_opened"] == "1"
    assert finalized.tags["hpo.test_opened_at"] == "2026-01-02T03:04:05+00:00"
    assert runs_of(pooled)[""].info.status == "FINISHED"


def test_the_table_holds_every_baseline_also_those_that_were_not_trained(finalized: Finalized) -> None:
    rows = finalized.rows

    assert list(rows) == [
        "best single, by the metric",
        "best single, by finalists",
        "best single, by validation NLL",
        "best single, over fresh seeds",
        "top 3, uniform",
        "deep ensemble of the best",
        "one run of the same total budget",
        "greedy path, at most 1",
        "greedy path, at most 2",
        "greedy path, at most 3",
        "ensemble, uncalibrated",
        "ensemble",
    ]
    missing = {name: row["missing"] for name, row in rows.items() if row["missing"] is not None}
    assert missing == {"one run of the same total budget": "not trained: the best recipe for 9 epochs (--train)"}
    assert rows["best single, over fresh seeds"]["num_extra_trials"] == 2
    assert rows["deep ensemble of the best"]["num_members"] == 3
    assert rows["greedy path, at most 1"]["test"] == rows["best single, by validation NLL"]["test"]


def test_exported_models_score_on_the_test_split_what_the_table_says(finalized: Finalized, pooled: SweepPaths) -> None:
    test = Digits().load(0).test

    assert test is not None
    for name, folder in (("ensemble", pooled.ensemble_bundle), ("best single, by finalists", pooled.bundle)):
        said, told = load_bundle(folder).predict(test.x), finalized.rows[name]["test"]
        assert told["measures"]["accuracy"] == pytest.approx((said.argmax(1) == test.y).mean())
        assert told["measures"]["nll"] == pytest.approx(-said[np.arange(len(test)), test.y].mean(), abs=1e-5)


def test_optimism_is_what_the_validation_examples_of_the_selection_flatter(finalized: Finalized) -> None:
    row = finalized.rows["best single, by the metric"]

    test, selected = row["test"]["measures"], row["selected_on"]
    assert row["optimism"]["nll"] == pytest.approx(test["nll"] - selected["nll"])
    assert row["optimism"]["accuracy"] == pytest.approx(selected["accuracy"] - test["accuracy"])


def test_every_predictor_is_told_how_many_networks_of_a_deep_ensemble_it_is_worth(finalized: Finalized) -> None:
    curve, rows = finalized.record["deep_curve"], finalized.rows

    assert len(curve) == 3
    assert rows["deep ensemble of the best"]["test"]["calibrated_nll"] == pytest.approx(curve[-1])
    for row in rows.values():
        if row["missing"] is None:
            found, nll = row["deep_equivalent"], row["test"]["calibrated_nll"]
            assert 1 <= found["num_networks"] <= 3
            assert found["is_beyond"] == (nll < min(curve))


def test_a_second_opening_is_counted_and_told_loudly(told: Hpo, finalized: Finalized, pooled: SweepPaths) -> None:
    shown = told("finalize", "pooled").output

    again, tags = json.loads(pooled.finalized.read_text()), runs_of(pooled)[""].data.tags
    assert again["opened"][:1] == finalized.record["opened"]
    assert shown.startswith("warning: the test split has been opened 2 times (" + ", ".join(again["opened"]) + ")")
    assert (again["num_opened"], tags["hpo.test_opened"]) == (2, "2")
    assert tags["hpo.test_opened_at"] == again["opened"][1]
    before = json.loads(json.dumps(finalized.record))
    assert (again["rows"], again["differences"]) == (before["rows"], before["differences"])
    assert "one run of the same total budget: not trained: the best recipe for 9 epochs" in shown
    assert "worth: networks of the deep ensemble of the best that is as good" in shown
    assert "ensemble - best single, by the metric: NLL " in shown


def test_mlflow_tells_repetitions_from_trials_of_the_search(pooled: SweepPaths) -> None:
    runs = runs_of(pooled)

    repeated = {name: run.data.tags["hpo.repeats"] for name, run in runs.items() if "hpo.repeats" in run.data.tags}
    assert sorted(repeated) == ["5", "6", "7", "8"]
    assert sorted(runs[name].data.tags["hpo.seed_index"] for name in repeated) == ["1", "1", "2", "2"]
    assert runs["5"].info.status == "FINISHED"
    assert "optimizer.lr" in runs["5"].data.params


def test_mlflow_holds_the_ensemble_beside_the_best_single_and_the_shares_of_its_members(pooled: SweepPaths) -> None:
    runs, left = runs_of(pooled), json.loads(pooled.ensemble.read_text())

    metrics = runs[""].data.metrics
    assert metrics["ensemble_val_nll"] == pytest.approx(left["held_out"]["nll"])
    assert metrics["best_single_val_accuracy"] == pytest.approx(left["best_single"]["held_out"]["accuracy"])
    shares = {name: float(run.data.tags.get("hpo.ensemble_weight", 0)) for name, run in runs.items() if name}
    expected = dict.fromkeys(shares, 0.0)
    for member in left["members"]:
        expected[str(member["trial_id"])] += member["weight"]
    assert shares == pytest.approx(expected, abs=1e-5)


def test_best_shows_the_finalists_and_which_was_chosen(told: Hpo, pooled: SweepPaths) -> None:
    shown, tree = told("best", "pooled").output, json.loads(told("best", "pooled", "--json").stdout)

    chosen = [each for each in tree["finalists"] if each["is_chosen"]]
    assert [each["trial_id"] for each in chosen] == [tree["trial"]]
    assert all(len(each["values"]) == 2 for each in tree["finalists"])
    lines = shown.splitlines()
    assert f"{pooled.sweep_id}/{tree['trial']}" in lines[0]
    [row] = [line.split() for line in lines if line.startswith("*  ")]
    assert row[:3] == ["*", str(tree["trial"]), f"{chosen[0]['searched']:.4f}"]
    assert row[5] == f"{np.mean(chosen[0]['values']):.4f}"
    assert "* The smallest network whose mean lies within one standard error of the best." in shown


def test_finalists_are_held_against_the_one_that_the_search_chose_paired_by_seed_and_example(
    told: Hpo, pooled: SweepPaths
) -> None:
    shown, tree = told("best", "pooled").output, json.loads(told("best", "pooled", "--json").stdout)

    incumbent, other = sorted(tree["finalists"], key=lambda each: each["searched"], reverse=True)
    difference = other["difference"]
    assert incumbent["difference"] is None
    assert difference["num_examples"] == len(Digits().load(0).validation)
    assert difference["mean"] == pytest.approx(np.mean(other["values"]) - np.mean(incumbent["values"]))
    assert difference["low"] < difference["mean"] < difference["high"]
    assert f"{difference['low']:+.4f} to {difference['high']:+.4f}" in shown
    tags = runs_of(pooled)[str(other["trial_id"])].data.tags
    assert float(tags["hpo.finalist_difference"]) == pytest.approx(difference["mean"], abs=1e-5)
    assert float(tags["hpo.finalist_probability"]) == pytest.approx(other["probability"], abs=1e-5)


def test_the_table_of_trials_marks_repetitions(told: Hpo, pooled: SweepPaths) -> None:
    table, csv = told("trials", "pooled").output, told("trials", "pooled", "--csv").output

    assert "again" in table
    header, *rows = [line.split(",") for line in csv.splitlines()]
    repeats = header.index("repeats")
    assert [row[repeats] != "" for row in rows] == [False] * 5 + [True] * 4
    assert header[repeats + 1] == "seed_index"
    assert pooled.leaderboard.read_text().splitlines() == csv.splitlines()


def test_an_ensemble_is_rebuilt_as_asked_and_takes_the_place_of_the_earlier_one(told: Hpo, pooled: SweepPaths) -> None:
    before = {member["trial_id"] for member in json.loads(pooled.ensemble.read_text())["members"]}

    done = told("ensemble", "pooled", "--kind", "top", "--size", 2, "--json")

    tree = json.loads(done.stdout)
    assert (tree["ensemble"]["kind"], len(tree["members"])) == ("top", 2)
    assert [member["weight"] for member in tree["members"]] == [0.5, 0.5]
    assert json.loads(pooled.ensemble.read_text())["members"] == tree["members"]
    card = json.loads((pooled.ensemble_bundle / "card.json").read_text())
    assert [member["trial_id"] for member in card["members"]] == [member["trial_id"] for member in tree["members"]]
    assert all(member["mlflow_run"] for member in card["members"])
    runs, now = runs_of(pooled), {member["trial_id"] for member in tree["members"]}
    tags = {trial_id: runs[str(trial_id)].data.tags["hpo.ensemble_weight"] for trial_id in before | now}
    assert tags == {trial_id: "0.5" if trial_id in now else "0" for trial_id in before | now}
    assert runs[""].info.status == "FINISHED"


def test_an_ensemble_is_shown_with_what_it_is_worth(told: Hpo, tmp_path: Path) -> None:
    done = told("ensemble", "pooled", "--kind", "top", "--size", 2, "--out", tmp_path / "bundle")

    lines = done.stdout.splitlines()
    assert lines[0] == "top: 2 networks, their probabilities averaged"
    assert lines[1].split() == ["trial", "epoch", "weights", "share", "NLL", "accuracy", "without", "it"]
    labels = [line.split("  ")[0] for line in lines]
    for label in (
        "selected on",
        "held out",
        "optimism",
        "temperature",
        "best single",
        "gain",
        "diversity",
        "file",
        "model",
    ):
        assert label in labels
    assert load_bundle(tmp_path / "bundle").card.outputs[0] == "log_probs"


def test_a_sweep_that_runs_has_an_ensemble_of_what_has_ended_and_its_driver_tells_mlflow(
    told: Hpo, pooled: SweepPaths
) -> None:
    before = runs_of(pooled)[""].data

    with owned(pooled.lock):
        done = told("ensemble", "pooled", "--kind", "top", "--size", 1, "--json")

    assert len(json.loads(done.stdout)["members"]) == 1
    assert runs_of(pooled)[""].data.metrics == before.metrics
    assert not pooled.outbox.exists()


def test_settings_of_other_sections_are_no_matter_of_the_ensemble(told: Hpo) -> None:
    done = told("ensemble", "pooled", "-s", "epochs=9")

    assert done.exit_code == 2
    assert "only settings of the ensemble can be changed here" in done.stderr


def test_a_kind_that_needs_more_training_names_what_is_missing_and_the_remedy(told: Hpo) -> None:
    done = told("ensemble", "pooled", "--kind", "deep", "--size", 4)

    assert done.exit_code == 1
    error = " ".join(done.stderr.split())
    assert error.startswith("error: ensemble.kind deep: 3 repetitions must have been trained, but 1 of trial ")
    assert error.endswith("have not. Train them with --train, or ask for another kind or size.")


def test_what_an_ensemble_needs_is_trained_where_that_is_asked_for(
    hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hpo.run as conducting

    monkeypatch.setattr(conducting, "resume_sweep", partial(conducting.resume_sweep, start_executor=start_local))
    (tmp_path / "own.yaml").write_text(SWEEP)
    settings = ("tracking=none", "budget.trials=2", "name=own", "finalists=none", "export.formats=[]")
    hpo("run", tmp_path / "own.yaml", "-s", f"storage.checkpoints={tmp_path}", *(f"-s{each}" for each in settings))

    done = hpo("ensemble", "own", "--kind", "deep", "--size", 3, "--train", "--runs", tmp_path)

    [paths] = list_sweeps(tmp_path)
    left = json.loads(paths.ensemble.read_text())
    assert done.exit_code == 0
    assert [member["repeats"] is None for member in left["members"]] == [True, False, False]


def test_the_ensemble_of_a_sweep_is_exported_as_it_was_left(told: Hpo, pooled: SweepPaths, tmp_path: Path) -> None:
    done = told("export", "pooled/ensemble", tmp_path / "bundle")

    test, left = Digits().load(0).test, json.loads(pooled.ensemble.read_text())
    assert test is not None
    assert done.exit_code == 0
    assert done.stdout.startswith(f"{tmp_path / 'bundle'}: the {left['ensemble']['kind']} ensemble of trial")
    ours, theirs = (load_bundle(folder).predict(test.x) for folder in (tmp_path / "bundle", pooled.ensemble_bundle))
    np.testing.assert_array_equal(ours, theirs)


def test_averaged_weights_of_an_ensemble_are_refused(told: Hpo, tmp_path: Path) -> None:
    done = told("export", "pooled/ensemble", tmp_path / "bundle", "--weights", "averaged")

    assert done.exit_code == 1
    assert "drop --weights" in done.stderr


def test_a_sweep_that_has_a_driver_is_not_finalized(told: Hpo, pooled: SweepPaths) -> None:
    with owned(pooled.lock):
        done = told("finalize", "pooled")

    assert done.exit_code == 1
    assert f"{pooled.sweep_id}: must be over to be finalized, but" in done.stderr


def test_a_bundle_of_another_ensemble_is_found_out(told: Hpo, pooled: SweepPaths) -> None:
    kept = pooled.ensemble.read_text()
    pooled.ensemble.write_text(json.dumps({**json.loads(kept), "ensemble": {"kind": "top", "size": 5}}))

    done = told("finalize", "pooled")

    pooled.ensemble.write_text(kept)
    assert done.exit_code == 1
    assert "must predict the test split as the ensemble in the table, within 0.0001, but differs by" in done.stderr
    assert f"Build it again: hpo ensemble {pooled.sweep_id}" in done.stderr


def test_a_damaged_ensemble_is_refused(told: Hpo, pooled: SweepPaths) -> None:
    kept = pooled.ensemble.read_text()
    pooled.ensemble.write_text('{"ensemble": {"kind": "guess"}, "members": []}')

    done = told("finalize", "pooled")

    pooled.ensemble.write_text(kept)
    assert done.exit_code == 1
    assert f"{pooled.ensemble}: must be an ensemble as hpo leaves it, but" in done.stderr
