"""Whole sweeps, small ones: what they leave in the study, in MLflow and on disk."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from hpo.errors import DataError, StudyError, SweepError
from hpo.execution import Executor, NextSegment, OnReport, OnSegmentEnd
from hpo.folders.folder import make_folder, write_resolved
from hpo.outcome import SweepResult
from hpo.paths import SweepPaths
from hpo.records import EndKind, Report, TrialRecord
from hpo.run import StartExecutor, cancel_sweep, resume_sweep, run_sweep, start_local, start_ray
from hpo.search.reading import read_trials
from hpo.sweep import Sweep, load_sweep
from hpo.tracking.tracker import SweepStatus
from hpo.training.workload import TorchWorkload

ROOT = Path(__file__).parent.parent
SMALL = """
name: small
data: {kind: digits}
model: {kind: mlp, hidden: [16]}
epochs: 4
metric: {name: val_accuracy, goal: maximize}
space:
  optimizer.lr: loguniform(1e-3, 1)
  batch_size: choice(64, 128)
sampler: {kind: tpe}
scheduler: {kind: asha, min_epochs: 1, eta: 2}
budget: {trials: 8}
resources: {max_concurrent: 1}
"""
TINY = ("tracking=none", "export.formats=[]", "budget.trials=1", "epochs=1", "scheduler={kind: none}")
GOOD_LR = "space={optimizer.lr: 'uniform(0.1, 0.11)'}"
METRICS = {"train_loss", "val_loss", "val_accuracy", "lr", "seconds", "samples_per_second"}


@dataclass(frozen=True)
class Finished:
    """A sweep that has run, and what the libraries remember of it."""

    sweep: Sweep
    result: SweepResult
    uri: str

    @property
    def trials(self) -> list[TrialRecord]:
        return read_trials(self.result.paths.study, self.sweep.space)

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri)

    @property
    def runs(self) -> list[Run]:
        experiment = self.client.get_experiment_by_name(self.sweep.experiment)
        assert experiment is not None
        return list(self.client.search_runs([experiment.experiment_id]))

    @property
    def parent(self) -> Run:
        [parent] = [run for run in self.runs if "hpo.trial" not in run.data.tags]
        return parent

    @property
    def children(self) -> dict[int, Run]:
        return {int(run.data.tags["hpo.trial"]): run for run in self.runs if "hpo.trial" in run.data.tags}

    @property
    def best(self) -> TrialRecord:
        assert self.result.best is not None
        return self.result.best


@dataclass
class Interrupted:
    """Runs until someone presses Ctrl-C after so many reports."""

    executor: Executor
    num_reports: int
    num_slots: int = 1

    def unmet(self) -> None:
        """Nothing."""

    def interrupt(self) -> None:
        self.executor.interrupt()

    def run(self, next_segment: NextSegment, on_report: OnReport, on_segment_end: OnSegmentEnd) -> None:
        def counted(report: Report) -> None:
            on_report(report)
            self.num_reports -= 1
            if self.num_reports == 0:
                raise KeyboardInterrupt

        self.executor.run(next_segment, counted, on_segment_end)


def load_small(folder: Path, *overrides: str) -> Sweep:
    file = folder / "small.yaml"
    file.write_text(SMALL)
    kept = [f"storage.checkpoints={folder / 'runs'}", f"tracking.uri=sqlite:///{folder / 'mlflow.db'}"]
    return load_sweep(file, [*kept, *overrides])


def finish(folder: Path, *overrides: str, start_executor: StartExecutor = start_local) -> Finished:
    folder.mkdir(exist_ok=True)
    sweep = load_small(folder, *overrides)
    return Finished(sweep, run_sweep(sweep, start_executor=start_executor), f"sqlite:///{folder / 'mlflow.db'}")


def outcomes(trials: list[TrialRecord]) -> list[object]:
    """All that a sweep must repeat: trials, values and ends, but not how long they took."""
    return [
        (
            *(trial.trial_id, trial.params, trial.values, trial.parent),
            trial.end and (trial.end.kind, trial.end.epoch, trial.end.reason),
        )
        for trial in trials
    ]


def best_value(finished: Finished) -> float:
    assert finished.best.end is not None
    assert finished.best.end.value is not None
    return finished.best.end.value


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finish(tmp_path_factory.mktemp("sweep"))


def test_trials_are_compared_by_what_their_averaged_weights_measure_where_that_is_asked_for(tmp_path: Path) -> None:
    settings = ("tracking=none", "export.formats=[]", "ema_half_life=0.5", "scheduler.compare=averaged")

    trials = finish(tmp_path, *settings).trials

    stopped = [trial for trial in trials if trial.end is not None and trial.end.kind is EndKind.STOPPED]
    measured = [(trial.end.metrics["ema_val_accuracy"], trial.end.value) for trial in stopped if trial.end is not None]
    assert [trial.decisions[-1].value for trial in stopped] == [averaged for averaged, _ in measured]
    assert any(averaged != raw for averaged, raw in measured)


@pytest.fixture(scope="module")
def a_ray_of_our_own() -> Iterator[None]:
    import ray

    yield
    ray.shutdown()


def test_every_trial_ends_and_the_best_was_trained_to_the_end(finished: Finished) -> None:
    assert finished.result.status is SweepStatus.FINISHED
    assert sum(finished.result.ends.values()) == len(finished.trials) == 8
    assert finished.best.end is not None
    assert (finished.best.end.kind, finished.best.end.epoch) == (EndKind.COMPLETE, 4)
    assert finished.best.end.value is not None
    assert finished.best.end.value > 0.8


def test_mlflow_holds_one_parent_and_a_child_for_each_trial_none_running(finished: Finished) -> None:
    assert sorted(finished.children) == list(range(8))
    assert {child.data.tags["mlflow.parentRunId"] for child in finished.children.values()} == {
        finished.parent.info.run_id
    }
    assert {run.info.status for run in finished.runs} == {"FINISHED"}


def test_mlflow_holds_all_params_and_the_end_of_each_trial(finished: Finished) -> None:
    for trial in finished.trials:
        child = finished.children[trial.trial_id].data
        assert trial.end is not None
        assert child.params == {path: str(value) for path, value in trial.params.items()}
        assert child.tags["hpo.end"] == trial.end.kind.value
        assert child.metrics["epochs"] == trial.end.epoch


def test_mlflow_holds_every_metric_of_every_epoch(finished: Finished) -> None:
    for trial in finished.trials:
        run_id = finished.children[trial.trial_id].info.run_id
        history = {name: finished.client.get_metric_history(run_id, name) for name in METRICS}
        assert {name: [point.step for point in points] for name, points in history.items()} == {
            name: sorted(trial.values) for name in METRICS
        }
        assert {point.step: point.value for point in history["val_accuracy"]} == trial.values


def test_what_is_exported_of_a_trial_that_stopped_early_is_what_was_measured(tmp_path: Path) -> None:
    early = ("budget.trials=3", "epochs=12", "scheduler={kind: none}", "early_stopping={patience: 1}")
    fast = ("space={optimizer.lr: 'uniform(0.9, 1)'}", "schedule={kind: constant}", "batch_size=16")

    done = finish(tmp_path, *early, *fast)

    assert done.result.bundle is not None
    card, end = json.loads((done.result.bundle / "card.json").read_text()), done.best.end
    assert end is not None
    assert end.reason == {"early_stopped": end.epoch, "best_epoch": end.epoch - 1}
    assert card["epoch"] == end.epoch - 1
    assert card["metrics"]["val_accuracy"] == end.value == done.best.values[end.epoch - 1]
    run = done.children[done.best.trial_id].data
    assert run.tags["hpo.early_stopped"] == str(end.epoch)
    assert run.metrics["final_val_accuracy"] == end.value


def test_mlflow_keeps_the_resolved_file_the_leaderboard_and_the_best_model(finished: Finished) -> None:
    run_id = finished.parent.info.run_id

    artifacts = {item.path for item in finished.client.list_artifacts(run_id)}
    bundle = {item.path for item in finished.client.list_artifacts(run_id, "best")}

    assert artifacts == {"resolved.yaml", "leaderboard.csv", "best", "ensemble", "ensemble.json"}
    assert bundle == {"best/model.pt2", "best/card.json"}


def test_the_leaderboard_lists_every_trial_best_first(finished: Finished) -> None:
    rows = pd.read_csv(finished.result.paths.leaderboard)

    assert len(rows) == 8
    assert rows["trial"][0] == finished.best.trial_id


def test_the_resolved_file_names_a_tracking_database_that_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL)

    paths = make_folder(load_sweep(tmp_path / "small.yaml"), "0")

    tracking = load_sweep(paths.resolved).tracking
    assert tracking is not None
    assert tracking.uri == f"sqlite:///{tmp_path}/mlflow.db"


def test_the_resolved_file_asks_for_the_same_sweep(finished: Finished) -> None:
    assert load_sweep(finished.result.paths.resolved) == finished.sweep


def test_a_range_test_before_the_search_sets_the_bounds_of_the_rate_and_leaves_its_curve(tmp_path: Path) -> None:
    found = finish(tmp_path, *TINY, "lr_range={}", "space={optimizer.lr: 'loguniform(1e-9, 1e-8)'}")

    searched = load_sweep(found.result.paths.resolved).space["optimizer.lr"]
    rows = pd.read_csv(found.result.paths.lr_range / "curve.csv")
    low, high = (float(str(end)) for end in searched.ends())
    assert searched == found.result.space["optimizer.lr"]
    assert searched.contains(found.trials[0].params["optimizer.lr"])
    assert 1e-5 < low < 0.01 < high < 1
    assert high == pytest.approx(rows["rate"][rows["smoothed"].argmin()])
    assert (found.result.paths.lr_range / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_effective_coordinates_train_show_and_export_what_they_come_to(tmp_path: Path) -> None:
    space = "{effective.lr: 'uniform(1e-3, 1e-2)', effective.decay_epochs: 'uniform(1, 9)'}"
    short = ("tracking=none", "epochs=1", "scheduler={kind: none}", "schedule={kind: constant}", "budget.trials=2")
    finished = finish(tmp_path, f"space={space}", "points=[{effective.lr: 0.005}]", *short)

    for trial in finished.trials:
        assert trial.end is not None
        assert trial.end.metrics["lr"] == trial.params["optimizer.lr"]
        assert trial.params["optimizer.lr"] == pytest.approx(float(str(trial.params["effective.lr"])) * 64 * 0.1)
    card = json.loads((finished.result.paths.bundle / "card.json").read_text())
    trained = card["recipe"]["optimizer"]
    decay_epochs = finished.best.params["effective.decay_epochs"]
    num_train = len(finished.sweep.data.load(finished.sweep.seed).train)
    assert finished.trials[0].params["effective.lr"] == 0.005
    assert trained["weight_decay"] == pytest.approx(
        0.1 / (trained["lr"] * float(str(decay_epochs)) * num_train / card["recipe"]["batch_size"])
    )


def test_the_exported_model_gives_the_recorded_accuracy_without_hpo(finished: Finished, tmp_path: Path) -> None:
    splits = finished.sweep.data.load(finished.sweep.seed)
    normal = splits.normalization
    raw = splits.validation.x * normal.std + normal.mean
    np.savez(tmp_path / "validation.npz", x=raw.astype(np.float32), y=splits.validation.y)
    script = (
        "import json, sys, numpy, torch\n"
        "data = numpy.load(sys.argv[2])\n"
        "model = torch.export.load(sys.argv[1] + '/model.pt2').module()\n"
        "right = model(torch.from_numpy(data['x'])).argmax(1) == torch.from_numpy(data['y'])\n"
        "print(json.dumps([right.sum().item(), len(right), 'hpo' in sys.modules]))\n"
    )
    command = [sys.executable, "-I", "-c", script, str(finished.result.bundle), str(tmp_path / "validation.npz")]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    num_right, num_examples, has_hpo = json.loads(done.stdout)
    recorded = finished.children[finished.best.trial_id].data.metrics["val_accuracy"]
    assert not has_hpo
    assert num_examples == len(splits.validation)
    assert num_right / num_examples == recorded


def test_the_card_names_the_trial_and_its_mlflow_run(finished: Finished) -> None:
    card = json.loads((finished.result.paths.bundle / "card.json").read_text())

    assert card["trial"] == finished.best.trial_id
    assert card["mlflow_run"] == finished.children[finished.best.trial_id].info.run_id


def test_one_at_a_time_repeats_trials_values_and_ends(finished: Finished, tmp_path: Path) -> None:
    again = finish(tmp_path, "tracking=none")

    assert outcomes(again.trials) == outcomes(finished.trials)


def test_another_seed_gives_other_trials(finished: Finished, tmp_path: Path) -> None:
    other = finish(tmp_path, *TINY, "seed=1")

    assert other.trials[0].params != finished.trials[0].params


def test_a_student_that_never_sees_a_label_learns_from_an_exported_model(finished: Finished, tmp_path: Path) -> None:
    loss = f"loss={{kind: distillation, teacher: {finished.result.bundle}, alpha: 1}}"
    data = "data={kind: digits, input_norm: minmax}"  # the teacher has a normalization of its own
    pair = (GOOD_LR, "scheduler={kind: none}", "budget.trials=2", "resources.lanes=2", "export.formats=[]")

    student = finish(tmp_path, loss, data, "model.hidden=[12]", "tracking=none", *pair)

    assert student.result.mean_lanes == 2
    assert best_value(student) > 0.8


def test_one_epoch_over_frozen_layers_of_an_exported_model_is_better_than_one_from_scratch(
    finished: Finished, tmp_path: Path
) -> None:
    initializer = f"initializer={{kind: pretrained, bundle: {finished.result.bundle}, head: new}}"

    tuned = finish(tmp_path, initializer, "frozen_layers=1", GOOD_LR, *TINY)
    afresh = finish(tmp_path, GOOD_LR, *TINY)

    assert best_value(tuned) > max(0.9, best_value(afresh))


def test_nothing_is_exported_when_no_format_is_asked_for(tmp_path: Path) -> None:
    result = finish(tmp_path, *TINY).result

    assert result.bundle is None
    assert not result.paths.bundle.exists()


def test_a_workload_never_holds_the_test_split(tmp_path: Path) -> None:
    held: list[TorchWorkload] = []

    def start(sweep: Sweep, workload: TorchWorkload) -> Executor:
        held.append(workload)
        return start_local(sweep, workload)

    done = finish(tmp_path, *TINY, start_executor=start)

    splits = done.sweep.data.load(0)
    assert splits.test is not None
    test = {row.tobytes() for row in (splits.test.x - splits.normalization.mean) / splits.normalization.std}
    [workload] = held
    arrays = [value for value in vars(workload).values() if hasattr(value, "x")]
    assert [len(examples) for examples in arrays] == [len(splits.train), len(splits.validation)]
    rows = [row.tobytes() for examples in arrays for row in examples.x]
    assert sum(row in test for row in rows) == 0


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["data={kind: npz, path: nowhere.npz}"], DataError, "nowhere.npz: no such file"),
        (["model={kind: cnn, channels: [8, 8, 8, 8]}"], SweepError, "needs images"),
        (["batch_size=5000", "space={optimizer.lr: 'loguniform(1e-3, 1)'}"], SweepError, "1079 training examples"),
    ],
)
def test_data_that_do_not_fit_are_found_before_anything_starts(
    tmp_path: Path, overrides: list[str], error: type[Exception], message: str
) -> None:
    def start(sweep: Sweep, workload: TorchWorkload) -> Executor:
        raise AssertionError("nothing may start")

    with pytest.raises(error, match=message):
        finish(tmp_path, *overrides, start_executor=start)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.yaml"]


LONGER = ("scheduler.min_epochs=2", "epochs=16")


def interrupted(num_reports: int) -> StartExecutor:
    return lambda sweep, workload: Interrupted(start_local(sweep, workload), num_reports)


def test_an_interrupt_pauses_and_who_resumes_finds_what_nobody_had_disturbed(tmp_path: Path) -> None:
    undisturbed = finish(tmp_path / "a", *LONGER)
    paused = finish(tmp_path / "b", *LONGER, start_executor=interrupted(21))
    statuses = [paused.parent.info.status, {run.info.status for run in paused.children.values()}]
    elapsed_s = paused.result.elapsed_s
    again = resume_sweep(paused.result.paths, start_executor=interrupted(17))
    done = replace(paused, result=resume_sweep(paused.result.paths, start_executor=start_local))

    assert (paused.result.status, paused.result.bundle) == (SweepStatus.PAUSED, None)
    assert statuses == ["SCHEDULED", {"SCHEDULED", "FINISHED"}]  # some had been stopped
    assert again.status is SweepStatus.PAUSED
    assert done.result.status is SweepStatus.FINISHED
    assert outcomes(done.trials) == outcomes(undisturbed.trials)
    assert done.best.trial_id == undisturbed.best.trial_id
    assert done.result.num_epochs == undisturbed.result.num_epochs
    assert done.result.bundle is not None
    assert done.parent.info.status == "FINISHED"
    assert per_epoch(done) == per_epoch(undisturbed)
    assert elapsed_s > 0


def per_epoch(sweep: Finished) -> dict[int, list[tuple[int, float]]]:
    """The metric as MLflow shows it, of every trial."""
    histories = {
        trial_id: sweep.client.get_metric_history(run.info.run_id, "val_accuracy")
        for trial_id, run in sweep.children.items()
    }
    return {trial_id: [(point.step, point.value) for point in points] for trial_id, points in histories.items()}


@dataclass
class Broken(Interrupted):
    """Its driver ends by an error before the first report is told."""

    error: Exception = field(kw_only=True)

    def run(self, next_segment: NextSegment, on_report: OnReport, on_segment_end: OnSegmentEnd) -> None:
        def broken(_: Report) -> None:
            raise self.error

        self.executor.run(next_segment, broken, on_segment_end)


@pytest.mark.parametrize(
    ("error", "status"),
    [(StudyError("the database did not answer"), "SCHEDULED"), (KeyError("a mistake of ours"), "FAILED")],
)
def test_a_sweep_that_ended_by_what_can_be_mended_is_shown_as_one_that_goes_on(
    tmp_path: Path, uri: str, error: Exception, status: str
) -> None:
    with pytest.raises(type(error)):
        finish(tmp_path, start_executor=lambda *begun: Broken(start_local(*begun), 0, error=error))

    [parent] = [run for run in MlflowClient(uri).search_runs(["1"]) if "hpo.trial" not in run.data.tags]
    assert parent.info.status == status


def test_a_sweep_that_has_finished_may_be_resumed_and_is_as_it_was(tmp_path: Path) -> None:
    finished = finish(tmp_path, "budget.trials=3", "tracking=none")

    again = resume_sweep(finished.result.paths, start_executor=start_local)

    assert again.status is SweepStatus.FINISHED
    assert read_trials(again.paths.study, again.space) == finished.trials


def test_a_copy_of_a_sweep_leaves_the_states_of_the_original_alone(finished: Finished, tmp_path: Path) -> None:
    shutil.copytree(finished.result.paths.root, tmp_path / "copy")

    with pytest.raises(StudyError, match=r"trial 0: every state must lie in .*copy.checkpoints, but one is .* moved"):
        resume_sweep(SweepPaths(tmp_path / "copy"), start_executor=start_local)


def test_a_sweep_that_was_paused_may_be_cancelled_its_best_is_exported(tmp_path: Path) -> None:
    paused = finish(tmp_path, *LONGER, start_executor=interrupted(17))
    done = replace(paused, result=cancel_sweep(paused.result.paths))

    ends = [trial.end for trial in done.trials if trial.end]
    card = json.loads((done.result.paths.bundle / "card.json").read_text())
    assert done.result.status is SweepStatus.CANCELLED
    assert [(end.kind, end.epoch) for end in ends] == [(EndKind.STOPPED, 2)] * 8
    assert {"sweep_ended": "cancelled"} in [end.reason for end in ends]
    assert (card["epoch"], card["metrics"]) == (2, dict(done.best.end.metrics) if done.best.end else None)
    assert states(done.result.paths.study) == {"PRUNED": 8}
    assert {run.info.status for run in done.children.values()} == {"FINISHED"}
    assert done.parent.info.status == "KILLED"


def test_a_sweep_given_more_trials_goes_on_with_them(tmp_path: Path) -> None:
    larger = finish(tmp_path / "a", "budget.trials=12")
    small = finish(tmp_path / "b", "budget.trials=8")
    write_resolved(small.result.paths, load_sweep(small.result.paths.resolved, ["budget.trials=12"]))

    done = replace(small, result=resume_sweep(small.result.paths, start_executor=start_local))

    assert [trial.params for trial in done.trials[:8]] == [trial.params for trial in larger.trials[:8]]
    assert len(done.trials) == len(done.children) == 12
    assert all(trial.end is not None for trial in done.trials)


def states(study: Path) -> Counter[str]:
    """As plain Optuna reads the file."""
    trials = optuna.load_study(study_name="hpo", storage=f"sqlite:///{study}").trials
    return Counter(trial.state.name for trial in trials)


@pytest.mark.slow
def test_ray_repeats_what_this_process_found(finished: Finished, tmp_path: Path, a_ray_of_our_own: None) -> None:
    first = finish(tmp_path, start_executor=start_ray)
    second = finish(tmp_path, "tracking=none", start_executor=start_ray)

    assert outcomes(first.trials) == outcomes(second.trials) == outcomes(finished.trials)
    assert sorted(first.children) == list(range(8))
    assert {run.info.status for run in first.runs} == {"FINISHED"}


@pytest.mark.slow
def test_ray_trains_the_same_population_with_the_same_lines_of_ancestors(
    tmp_path: Path, a_ray_of_our_own: None
) -> None:
    settings = ("tracking=none", "sampler={kind: qmc}", "scheduler={kind: pbt, every: 1}", "budget.trials=16")

    here = finish(tmp_path, *settings)
    there = finish(tmp_path, *settings, start_executor=start_ray)

    assert outcomes(there.trials) == outcomes(here.trials)
    assert sum(trial.parent is not None for trial in here.trials) == 3 * 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "interrupt",
    [
        pytest.param(lambda pid: os.killpg(pid, signal.SIGINT), id="Ctrl-C, which all processes of a terminal get"),
        pytest.param(lambda pid: os.kill(pid, signal.SIGTERM), id="SIGTERM"),
    ],
)
def test_an_interrupt_leaves_nothing_running_and_says_how_to_go_on(
    tmp_path: Path, interrupt: Callable[[int], None]
) -> None:
    (tmp_path / "small.yaml").write_text(SMALL.replace("epochs: 4", "epochs: 400").replace("trials: 8", "trials: 64"))
    process = start_hpo(tmp_path, "run", "small.yaml", "-s", "scheduler.eta=20")
    assert process.stdout is not None
    before = next(line for line in process.stdout if "epochs" in line)

    interrupt(process.pid)
    said = process.stdout.read()

    assert process.wait() == 130, before + said
    assert "paused" in said
    assert "Traceback" not in said
    [study] = tmp_path.glob("runs/*/study.db")
    assert f"hpo resume {study.parent.name}" in said
    runs = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}").search_runs(["1"])
    assert "RUNNING" not in {run.info.status for run in runs}
    done = start_hpo(tmp_path, "cancel", study.parent.name)
    assert "cancelled" in done.communicate()[0]
    assert states(study).keys() <= {"COMPLETE", "PRUNED"}


@pytest.mark.slow
def test_a_sweep_whose_driver_was_killed_is_resumed_and_then_extended_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL.replace("epochs: 4", "epochs: 60").replace("trials: 8", "trials: 16"))
    process = start_hpo(tmp_path, "run", "small.yaml", "-s", "scheduler.eta=8", "-s", "resources.max_concurrent=2")
    assert process.stdout is not None
    next(line for line in process.stdout if "epochs" in line)
    process.kill()
    process.wait()
    [folder] = (tmp_path / "runs").iterdir()

    resumed = start_hpo(tmp_path, "resume", folder.name)
    said = resumed.communicate()[0]
    extended = start_hpo(tmp_path, "extend", folder.name, "--trials", "+4")
    said_then = extended.communicate()[0]

    assert (resumed.returncode, extended.returncode) == (0, 0), said + said_then
    found = states(folder / "study.db")
    assert (found.total(), set(found)) == (20, {"COMPLETE", "PRUNED"})


def start_hpo(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from hpo.cli import app; app()", *arguments]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


@pytest.mark.slow
def test_the_demo_finds_a_good_model(tmp_path: Path, a_ray_of_our_own: None) -> None:
    kept = [f"storage.checkpoints={tmp_path / 'runs'}", f"tracking.uri=sqlite:///{tmp_path / 'mlflow.db'}"]
    sweep = load_sweep(ROOT / "experiments/digits.yaml", kept)

    done = Finished(sweep, run_sweep(sweep), f"sqlite:///{tmp_path / 'mlflow.db'}")

    assert done.best.end is not None
    assert done.best.end.value is not None
    assert done.best.end.value >= 0.985
    assert sorted(done.children) == list(range(64))
    assert {run.info.status for run in done.runs} == {"FINISHED"}
    assert sum(done.result.ends.values()) == 64
