"""The test split: closed to workers, opened by nobody twice unseen, and worth nothing where its labels are wrong."""

import json
import pickle
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hpo.cli.finalized import show_finalized
from hpo.errors import DataError
from hpo.execution import Executor, NextSegment, OnReport, OnSegmentEnd
from hpo.harvest.contenders import contenders
from hpo.harvest.finalize import finalize_sweep
from hpo.harvest.harvest import Harvest
from hpo.harvest.long_run import LongRun
from hpo.harvest.rebuilding import rebuild_ensemble
from hpo.outcome import SweepResult
from hpo.records import Idle, Segment
from hpo.run import resume_sweep, run_sweep, start_local
from hpo.sweep import Sweep, load_sweep
from hpo.training.checkpoint import read_checkpoint
from hpo.training.data import Digits
from hpo.training.workload import TorchWorkload

SWEEP = """
name: own
data: {kind: npz, path: own.npz}
model: {kind: mlp, hidden: [16]}
epochs: 3
metric: {name: val_accuracy, goal: maximize}
space: {optimizer.lr: 'loguniform(5e-2, 0.3)'}
sampler: {kind: random}
scheduler: {kind: none}
budget: {trials: 3}
ensemble: {kind: top, size: 2}
tracking: none
export: {formats: []}
"""
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def write_data(folder: Path, *, shuffles_test: bool = False, has_test: bool = True) -> None:
    splits = Digits(input_norm="none").load(0)
    assert splits.test is not None
    y_test = np.random.default_rng(0).permutation(splits.test.y) if shuffles_test else splits.test.y
    test = {"x_test": splits.test.x, "y_test": y_test} if has_test else {}
    np.savez(folder / "own.npz", allow_pickle=False, x=splits.train.x, y=splits.train.y, **test)


def load(folder: Path, *settings: str) -> Sweep:
    (folder / "own.yaml").write_text(SWEEP)
    return load_sweep(folder / "own.yaml", [f"storage.checkpoints={folder / 'runs'}", *settings])


def run(folder: Path, *settings: str) -> SweepResult:
    return run_sweep(load(folder, *settings), start_executor=start_local)


def test_shuffled_test_labels_give_chance(tmp_path: Path) -> None:
    write_data(tmp_path, shuffles_test=True)
    result = run(tmp_path)

    record = finalize_sweep(result.paths, NOW)

    tested = [row for row in record["rows"] if row["test"] is not None]
    assert len(tested) == 7
    for row in tested:
        assert row["validation"]["accuracy"] > 0.8
        assert row["test"]["measures"]["accuracy"] == pytest.approx(0.1, abs=0.06)  # 359 examples: 0.016 a deviation
        assert row["test"]["measures"]["nll"] > np.log(10)


def test_baselines_that_need_repetitions_say_how_to_get_them(tmp_path: Path) -> None:
    write_data(tmp_path)
    result = run(tmp_path)

    sweep = load(tmp_path)
    harvest = Harvest(sweep, result.paths, sweep.data.load(0), result.trials)
    assert result.ensemble is not None
    missing = {each.name: each.missing for each in contenders(harvest, result.ensemble) if each.missing is not None}
    assert missing == {
        "best single, by finalists": "not trained: finalists {count: 5, seeds: 3}",
        "best single, over fresh seeds": "not trained: finalists {count: 5, seeds: 3}",
        "deep ensemble of the best": "not trained: ensemble {kind: deep, size: 2}",
        "one run of the same total budget": "not trained: the best recipe for 6 epochs (--train)",
    }


def test_the_run_of_the_same_total_budget_is_the_best_recipe_alone_for_as_long_as_all_members(tmp_path: Path) -> None:
    write_data(tmp_path)
    result = run(tmp_path)
    assert result.best is not None
    record = finalize_sweep(result.paths, NOW, start_local)

    [row] = [each for each in record["rows"] if each["name"] == "one run of the same total budget"]
    splits = load(tmp_path).data.load(0)
    assert splits.test is not None
    assert [member["epoch"] for member in row["members"]] == [6]
    assert row["num_extra_trials"] == 2
    assert row["test"]["measures"]["accuracy"] > 0.9
    state = LongRun.model_validate_json(result.paths.long_run.read_bytes()).state
    assert state is not None
    module = load(tmp_path).recipe.model.build(splits.input_shape, splits.num_classes)
    module.load_state_dict(read_checkpoint(state).module)
    with torch.inference_mode():
        log_probs = module.eval()(torch.from_numpy(splits.normalization(splits.test.x))).log_softmax(1)
    expected = nn.functional.nll_loss(log_probs, torch.from_numpy(splits.test.y))
    assert row["test"]["measures"]["nll"] == pytest.approx(float(expected), rel=1e-5)


def test_a_run_that_was_trained_is_not_trained_again(tmp_path: Path) -> None:
    write_data(tmp_path)
    result = run(tmp_path)
    first = finalize_sweep(result.paths, NOW, start_local)

    def nowhere(sweep: Sweep, workload: TorchWorkload) -> Executor:
        raise AssertionError

    again = finalize_sweep(result.paths, NOW, nowhere)

    assert again["rows"] == first["rows"]


def test_a_run_that_diverges_says_so(tmp_path: Path) -> None:
    write_data(tmp_path)
    result = run(tmp_path)
    assert result.best is not None
    told = LongRun(trial_id=result.best.trial_id, epochs=6, state=None, why="diverged at step 7")
    result.paths.long_run.write_text(told.model_dump_json())

    record = finalize_sweep(result.paths, NOW)

    [row] = [each for each in record["rows"] if each["name"] == "one run of the same total budget"]
    assert row["missing"] == "the best recipe for 6 epochs has diverged at step 7"


def test_the_first_table_is_kept(tmp_path: Path) -> None:
    write_data(tmp_path)
    result = run(tmp_path)
    first = finalize_sweep(result.paths, NOW)
    finalize_sweep(result.paths, NOW)

    third = finalize_sweep(result.paths, NOW)

    assert first["earlier"] == []
    assert [table["rows"] for table in third["earlier"]] == [json.loads(json.dumps(first["rows"]))] * 2


def test_robustness_is_what_the_same_networks_score_on_the_test_split_made_worse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_data(tmp_path)
    result = run(tmp_path)

    record = finalize_sweep(result.paths, NOW, is_corrupted=True)
    show_finalized(record, as_json=False)

    rows = {(row["name"], row["kind"], row["severity"]): row for row in record["robustness"]}
    assert len(rows) == 2 * (1 + 4 * 5 + 5)
    for row in record["rows"]:
        if (row["name"], "clean", 0) in rows:
            assert rows[row["name"], "clean", 0]["ece"] == pytest.approx(row["test"]["measures"]["ece"])
    splits = load(tmp_path).data.load(0)
    assert result.best is not None
    assert splits.test is not None
    x = splits.test.x
    faded = x.mean((2, 3), keepdims=True) + 0.15 * (x - x.mean((2, 3), keepdims=True))
    module = load(tmp_path).recipe.model.build(splits.input_shape, splits.num_classes)
    module.load_state_dict(read_checkpoint(str(result.best.checkpoint)).module)
    with torch.inference_mode():
        logits = module.eval()(torch.from_numpy(splits.normalization(faded)))
    found = rows["best single, by the metric", "contrast", 5]
    assert found["nll"] == pytest.approx(
        float(nn.functional.cross_entropy(logits, torch.from_numpy(splits.test.y))), rel=1e-4
    )
    assert found["accuracy"] == pytest.approx((logits.argmax(1).numpy() == splits.test.y).mean())
    shown = capsys.readouterr().out
    assert "label shift" in shown
    assert "rotation" in shown


def test_data_without_a_test_split_cannot_be_finalized(tmp_path: Path) -> None:
    write_data(tmp_path, has_test=False)
    result = run(tmp_path, "data.test=0", "budget.trials=1")

    with pytest.raises(DataError, match="there must be a test split for a sweep to be finalized, but its data have no"):
        finalize_sweep(result.paths, NOW)

    assert not result.paths.finalized.exists()


def test_data_that_have_changed_are_refused_by_whoever_comes_back(tmp_path: Path) -> None:
    write_data(tmp_path)
    result = run(tmp_path, "budget.trials=1")
    begun = json.loads(result.paths.data.read_text())["digest"]
    write_data(tmp_path, shuffles_test=True)

    now = load(tmp_path).data.load(0).digest
    told = f"own-.*: the data are not what they were: their digest must be {begun}, but is {now}"
    assert begun != now
    with pytest.raises(DataError, match=told):
        resume_sweep(result.paths, start_executor=start_local)
    with pytest.raises(DataError, match=told):
        rebuild_ensemble(result.paths)
    with pytest.raises(DataError, match=told):
        finalize_sweep(result.paths, NOW)


def test_a_sweep_from_before_data_were_hashed_goes_on(tmp_path: Path) -> None:
    write_data(tmp_path)
    result = run(tmp_path, "budget.trials=1")
    result.paths.data.unlink()
    write_data(tmp_path, shuffles_test=True)

    assert resume_sweep(result.paths, start_executor=start_local).status == result.status


class Recording:
    """A local executor that keeps whatever a worker would be sent."""

    num_slots = 1

    def __init__(self, executor: Executor, workload: TorchWorkload) -> None:
        self._executor = executor
        self.sent = [pickle.dumps(workload)]

    def unmet(self) -> str | None:
        return self._executor.unmet()

    def interrupt(self) -> None:
        self._executor.interrupt()

    def run(self, next_segment: NextSegment, on_report: OnReport, on_segment_end: OnSegmentEnd) -> None:
        def noted() -> Segment | Idle:
            segment = next_segment()
            self.sent.append(pickle.dumps(segment))
            return segment

        self._executor.run(noted, on_report, on_segment_end)


def test_no_byte_of_the_test_split_is_ever_sent_to_a_worker(tmp_path: Path) -> None:
    write_data(tmp_path)
    executors = []

    def start(sweep: Sweep, workload: TorchWorkload) -> Executor:
        executors.append(Recording(start_local(sweep, workload), workload))
        return executors[0]

    run_sweep(load(tmp_path, "data.input_norm=none", "finalists={count: 1, seeds: 1}"), start_executor=start)

    splits = load(tmp_path, "data.input_norm=none").data.load(0)
    assert splits.test is not None
    seen = {row.tobytes() for row in splits.train.x} | {row.tobytes() for row in splits.validation.x}
    [recording] = executors
    sent = b"".join(recording.sent)
    assert len(recording.sent) > 3
    assert splits.train.x[0].tobytes() in sent
    unseen = [row for row in (each.tobytes() for each in splits.test.x) if row not in seen]
    assert len(unseen) > 300
    assert not any(row in sent for row in unseen)
    assert splits.test.y.tobytes() not in sent


def test_the_digest_tells_how_examples_are_prepared_and_which_are_the_test_split(tmp_path: Path) -> None:
    write_data(tmp_path)
    settings = ("data.input_norm=minmax", "data.whiten=pca", "data.whiten=zca", "data.image_size=6")
    prepared = [load(tmp_path, setting).data.load(0).digest for setting in ("name=own", *settings)]

    write_data(tmp_path, shuffles_test=True)
    of_other_test = load(tmp_path).data.load(0).digest

    assert len({*prepared, of_other_test}) == 6
