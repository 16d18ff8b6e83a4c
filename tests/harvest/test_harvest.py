"""Winners and ensembles of whole sweeps, trained by this process on the digits."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hpo.ensembles import measure
from hpo.ensembles.folds import stratified_folds
from hpo.ensembles.kinds import Soup, Top
from hpo.errors import BundleError, EnsembleError, HpoError
from hpo.export import load_bundle
from hpo.harvest.finals import judge_by_example
from hpo.harvest.harvest import Harvest
from hpo.harvest.repeats import Repeat
from hpo.outcome import SweepResult
from hpo.paths import SweepPaths, list_sweeps
from hpo.progress import Progress, Watch
from hpo.records import EndKind
from hpo.results.finalists import judge
from hpo.run import resume_sweep, run_sweep, start_local
from hpo.sweep import Sweep, load_sweep
from hpo.training.checkpoint import read_checkpoint

SWEEP = """
name: small
data: {{kind: digits}}
model: {{kind: mlp, hidden: [16]}}
epochs: 4
metric: {{name: val_accuracy, goal: maximize}}
space: {{optimizer.lr: 'loguniform(1e-2, 1)', batch_size: 'choice(32, 64)'}}
sampler: {{kind: random}}
scheduler: {{kind: none}}
budget: {{trials: 6}}
storage: {{checkpoints: {folder}}}
tracking: none
export: {{formats: []}}
{more}
"""


def load(folder: Path, more: str = "", *settings: str) -> Sweep:
    file = folder / "small.yaml"
    file.write_text(SWEEP.format(folder=folder / "runs", more=more))
    return load_sweep(file, settings)


def run(folder: Path, more: str = "", *settings: str) -> SweepResult:
    return run_sweep(load(folder, more, *settings), start_executor=start_local)


def harvest_of(sweep: Sweep, result: SweepResult) -> Harvest:
    return Harvest(sweep, result.paths, sweep.data.load(sweep.seed), result.trials)


def test_an_ensemble_of_no_images_is_not_mirrored(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", allow_pickle=False, x=np.eye(60, 4, dtype=np.float32), y=np.arange(60) % 3)
    settings = (f"data={{kind: npz, path: {tmp_path / 'rows.npz'}}}", "budget.trials=2", "batch_size=8")
    sweep = load(tmp_path, "", *settings, "space={optimizer.lr: 'loguniform(1e-2, 1)'}")
    result = run_sweep(sweep, start_executor=start_local)
    asked = sweep.export.model_copy(update={"tta": "flip", "formats": ("pt2",)})

    assert result.ensemble is not None
    with pytest.raises(BundleError, match=r"tta: flip needs images \[channels, height, width\] of at least 1 x 1, but"):
        harvest_of(sweep, result).export_ensemble(tmp_path / "bundle", result.ensemble, asked=asked)


def test_a_sweep_ends_with_an_ensemble_of_its_trials_that_trained_for_nothing_else(tmp_path: Path) -> None:
    result = run(tmp_path, "", "export.formats=[pt2]")

    assert result.ensemble is not None
    assert len(result.trials) == 6
    assert sum(result.ensemble.weights) == pytest.approx(1)
    told = json.loads(result.paths.ensemble.read_text())
    assert [member["trial_id"] for member in told["members"]] == [each.trial_id for each in result.ensemble.members]
    splits = load(tmp_path).data.load(0)
    bundle = load_bundle(result.paths.ensemble_bundle)
    mean = sum(
        weight * np.exp(log_probs.astype(float))
        for weight, log_probs in zip(result.ensemble.weights, result.ensemble.log_probs, strict=True)
    )
    scaled = np.log(mean) / result.ensemble.temperature
    expected = scaled - np.log(np.exp(scaled).sum(1, keepdims=True))
    raw = splits.validation.x * splits.normalization.std + splits.normalization.mean
    np.testing.assert_allclose(bundle.predict(raw.astype(np.float32)), expected, atol=0.02)


def test_the_best_single_network_is_held_out_as_the_ensemble_is(tmp_path: Path) -> None:
    sweep = load(tmp_path, "", "space.optimizer.lr=loguniform(0.2, 0.3)", "budget.trials=12")
    result = run_sweep(sweep, start_executor=start_local)
    pool = harvest_of(sweep, result).pool()

    losses = -np.take_along_axis(pool.log_probs.astype(float), pool.labels[None, :, None], axis=2)[..., 0]
    folds = stratified_folds(pool.labels, 5, sweep.seed)
    unseen = [losses[losses[:, folds != fold].mean(1).argmin(), folds == fold] for fold in range(5)]
    assert result.ensemble is not None
    assert len({losses[:, folds != fold].mean(1).argmin() for fold in range(5)}) > 1
    assert result.ensemble.single_held_out.nll == pytest.approx(np.concatenate(unseen).mean(), rel=1e-5)


def test_finalists_train_again_on_shared_luck_and_the_winner_is_one_of_them(tmp_path: Path) -> None:
    sweep = load(tmp_path, "finalists: {count: 2, seeds: 2}\nensemble: none")

    result = run_sweep(sweep, start_executor=start_local)

    again = [trial for trial in result.trials if trial.repeats is not None]
    searched = [trial for trial in result.trials if trial.repeats is None]
    assert result.best is not None
    assert sorted((trial.repeats, trial.seed_index) for trial in again) == sorted(
        (trial, seed) for trial in {each.repeats for each in again} for seed in (1, 2)
    )
    assert {trial.repeats for trial in again} == {
        trial.trial_id for trial in sorted(searched, key=lambda trial: trial.values[4], reverse=True)[:2]
    }
    assert all(trial.end is not None and trial.end.kind is EndKind.COMPLETE for trial in again)
    of = {trial.trial_id: trial for trial in searched}
    for trial in again:
        assert trial.params == of[trial.repeats or 0].params
        theirs, ours = (read_checkpoint(str(each.checkpoint)).module for each in (of[trial.repeats or 0], trial))
        assert not theirs["1.weight"].equal(ours["1.weight"])
    assert result.best.trial_id in {trial.repeats for trial in again}
    assert result.ensemble is None


@pytest.mark.parametrize("metric", ["{name: val_accuracy, goal: maximize}", "{name: val_loss, goal: minimize}"])
def test_finalists_are_judged_by_examples_unless_a_state_of_theirs_cannot_be_read(
    tmp_path: Path, metric: str, caplog: pytest.LogCaptureFixture
) -> None:
    sweep = load(tmp_path, "finalists: {count: 2, seeds: 2}\nensemble: none", f"metric={metric}", "budget.trials=3")
    result = run_sweep(sweep, start_executor=start_local)
    harvest = harvest_of(sweep, result)
    assert sweep.finalists is not None
    by_seeds = judge(sweep.finalists, result.trials, sweep.metric.goal)

    again = next(trial for trial in result.trials if trial.repeats is not None)
    Path(str(again.checkpoint)).write_bytes(b"damaged")
    found = judge_by_example(harvest)

    [told] = [each.difference for each in result.finalists if each.difference is not None]
    assert told.num_examples == len(harvest.splits.validation)
    assert [each.mean for each in result.finalists] == [each.mean for each in by_seeds]
    assert found == by_seeds
    assert "Finalists are judged by their seeds alone: " in caplog.text


def test_a_sweep_given_more_after_its_finalists_has_new_ones(tmp_path: Path) -> None:
    first = run_sweep(load(tmp_path, "finalists: {count: 2, seeds: 1}"), start_executor=start_local)
    extend(first.paths, trials=12)

    result = resume_sweep(first.paths, start_executor=start_local)

    searched = [trial for trial in result.trials if trial.repeats is None]
    best = sorted(searched, key=lambda trial: (-trial.values[4], trial.trial_id))[:2]
    assert len(searched) == 12
    assert {trial.trial_id for trial in best} <= {trial.repeats for trial in result.trials}


def test_a_sweep_that_dies_while_finalists_train_goes_on_with_them(tmp_path: Path) -> None:
    sweep = load(tmp_path, "finalists: {count: 2, seeds: 2}", "resources.lanes=1")
    whole = run_sweep(sweep, start_executor=start_local)

    with pytest.raises(BrokenPipeError):
        run_sweep(sweep, start_executor=start_local, watch=dies_when(lambda progress: progress.num_trials > 6))
    [paths] = [each for each in list_sweeps(tmp_path / "runs") if each != whole.paths]
    result = resume_sweep(paths, start_executor=start_local)

    assert ends(result) == ends(whole)
    assert result.best is not None
    assert whole.best is not None
    assert result.best.trial_id == whole.best.trial_id


def dies_when(happens: Callable[[Progress], bool]) -> Watch:
    def watch(progress: Progress) -> None:
        if happens(progress):
            raise BrokenPipeError

    return watch


def ends(result: SweepResult) -> list[object]:
    return [(trial.repeats, trial.seed_index, trial.params, trial.values) for trial in result.trials]


def extend(paths: SweepPaths, trials: int) -> None:
    text = paths.resolved.read_text()
    assert "trials: 6" in text
    paths.resolved.write_text(text.replace("trials: 6", f"trials: {trials}"))


@pytest.mark.parametrize(
    ("kind", "num_more", "num_members"),
    [("{kind: deep, size: 3}", 2, 3), ("{kind: top, size: 3}", 0, 3), ("{kind: stack}", 0, None)],
)
def test_every_kind_trains_what_it_asks_for_and_no_more(
    tmp_path: Path, kind: str, num_more: int, num_members: int | None
) -> None:
    result = run(tmp_path, f"ensemble: {kind}")

    assert result.ensemble is not None
    assert len(result.trials) == 6 + num_more
    assert len(result.ensemble.members) == (num_members or len(result.ensemble.members))


def test_a_deep_ensemble_asks_for_its_repetitions_without_reading_a_state(tmp_path: Path) -> None:
    sweep = load(tmp_path, "ensemble: {kind: deep, size: 3}", "budget.trials=2")
    result = run_sweep(sweep, start_executor=start_local)
    assert result.best is not None
    for state in result.paths.checkpoints.glob("*/*"):
        state.write_bytes(b"damaged")

    asked = harvest_of(sweep, result).repeats()

    assert asked == [Repeat(trial_id=result.best.trial_id, seed_index=seed_index) for seed_index in (1, 2)]


def test_what_a_hyper_deep_ensemble_picks_is_trained_again(tmp_path: Path) -> None:
    sweep = load(tmp_path, "ensemble: {kind: hyper_deep, size: 3, seeds: 2, min_gain: 0}")

    result = run_sweep(sweep, start_executor=start_local)

    picks = {trial.repeats for trial in result.trials if trial.repeats is not None}
    assert len(result.trials) == 6 + 2 * len(picks)
    assert 1 <= len(picks) <= 3
    assert harvest_of(sweep, result).repeats() == harvest_of(sweep, result).repeats()


def test_a_snapshot_ensemble_is_one_trials_cycles(tmp_path: Path) -> None:
    result = run(
        tmp_path, "schedule: {kind: warm_restarts, cycles: 4}\nsnapshots: all\nensemble: {kind: snapshot, size: 3}"
    )

    assert result.ensemble is not None
    assert result.best is not None
    assert [(each.trial_id, each.epoch) for each in result.ensemble.members] == [
        (result.best.trial_id, epoch) for epoch in (2, 3, 4)
    ]
    assert result.ensemble.weights == pytest.approx((1 / 3,) * 3)


def test_an_ensemble_of_short_cycles_is_what_the_best_trial_was_at_their_ends(tmp_path: Path) -> None:
    settings = ("schedule={kind: fge, share: 0.5, cycles: 2}", "snapshots=all", "epochs=6", "budget.trials=2")
    result = run(tmp_path, "ensemble: {kind: fge, size: 3}", *settings)

    assert result.ensemble is not None
    assert result.best is not None
    assert [(each.trial_id, each.epoch) for each in result.ensemble.members] == [
        (result.best.trial_id, epoch) for epoch in (3, 4, 6)
    ]
    assert result.ensemble.weights == pytest.approx((1 / 3,) * 3)


def test_averaged_weights_are_candidates_too_and_make_an_ensemble_of_one(tmp_path: Path) -> None:
    result = run(tmp_path, "swa_start: 0.5\nensemble: {kind: swa}")

    assert result.ensemble is not None
    assert [(each.weights, each.epoch) for each in result.ensemble.members] == [("averaged", 4)]


def test_a_soup_of_independent_networks_is_refused(tmp_path: Path) -> None:
    sweep = load(tmp_path, "ensemble: {kind: top, size: 3}")
    result = run_sweep(sweep, start_executor=start_local)

    with pytest.raises(EnsembleError, match="must be connected"):
        harvest_of(sweep, result).assemble(Soup(size=3))


def test_a_soup_of_one_trials_snapshots_predicts_with_one_network(tmp_path: Path) -> None:
    settings = (
        "space.optimizer.lr=uniform(0.05, 0.055)",
        "space.batch_size=choice(16, 32)",
        "epochs=12",
        "budget.trials=1",
    )
    sweep = load(
        tmp_path,
        "schedule: {kind: cyclic, cycles: 12, floor: 0.9}\nsnapshots: all\nensemble: {kind: soup, size: 6}",
        *settings,
    )

    result = run_sweep(sweep, start_executor=start_local)

    assert result.ensemble is not None
    assert len(result.ensemble.members) > 1
    [own] = result.ensemble.log_probs
    harvest = harvest_of(sweep, result)
    alone = harvest.networks.predict(harvest.networks.load(result.ensemble.single), harvest.splits.validation.x)
    labels = harvest.splits.validation.y
    assert measure(own, labels).nll < measure(alone, labels).nll


@pytest.mark.slow
def test_the_largest_ensemble_within_its_limits_leaves_and_every_size_is_told(tmp_path: Path) -> None:
    kind = "ensemble: {kind: top, size: 3}"
    free = run(tmp_path, kind, "export={formats: [pt2, onnx], limits: {latency_ms: 1000}}")
    megabytes = [size["megabytes"] for size in json.loads(free.paths.ensemble.read_text())["sizes"]]

    most = (megabytes[1] + megabytes[2]) / 2
    tight = run(tmp_path, kind, f"export={{formats: [pt2, onnx], limits: {{megabytes: {most}}}}}")

    told = json.loads(tight.paths.ensemble.read_text())
    assert [(size["num_members"], size["is_within"]) for size in told["sizes"]] == [(1, True), (2, True), (3, False)]
    assert [size["megabytes"] for size in told["sizes"]] == pytest.approx(megabytes, rel=0.01)
    assert len(told["members"]) == 2
    assert free.ensemble is not None
    assert len(free.ensemble.members) == 3


@pytest.mark.slow
def test_where_no_size_is_within_the_limits_there_is_no_ensemble(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = run(tmp_path, "", "export={formats: [pt2, onnx], limits: {megabytes: 0.0001}}", "ensemble.size=1")

    assert result.ensemble is None
    assert "export.limits: an ensemble must predict an example within inf ms" in caplog.text
    assert result.bundle is not None


def test_an_ensemble_teaches_a_network_of_its_own(tmp_path: Path) -> None:
    whole = run(tmp_path, "ensemble: {kind: top, size: 3}", "export.formats=[pt2]")

    taught = run(tmp_path, f"loss: {{kind: distillation, teacher: {whole.paths.ensemble_bundle}}}", "budget.trials=1")

    assert taught.best is not None
    assert taught.best.values[4] > 0.5


def test_stopped_trials_are_members_only_where_that_is_asked_for(tmp_path: Path) -> None:
    sweep = load(tmp_path, "", "scheduler={kind: asha, min_epochs: 1, eta: 2}", "budget.trials=8")
    result = run_sweep(sweep, start_executor=start_local)
    stopped = {trial.trial_id for trial in result.trials if trial.end and trial.end.kind is EndKind.STOPPED}
    harvest = harvest_of(sweep, result)
    assert stopped

    usual, more = (harvest.assemble(Top(size=50, stopped=stopped)) for stopped in (False, True))

    assert not stopped & {each.trial_id for each in usual.members}
    assert stopped <= {each.trial_id for each in more.members}


def test_members_that_have_seen_other_examples_are_refused(tmp_path: Path) -> None:
    sweep = load(tmp_path)
    result = run_sweep(sweep, start_executor=start_local)
    other = load(tmp_path, "", "data={kind: digits, validation: 0.3}").data.load(0)

    with pytest.raises(HpoError, match=r"Members must predict the same \d+ examples of 10 classes, but trial 0 has"):
        Harvest(sweep, result.paths, other, result.trials).assemble(Top())
