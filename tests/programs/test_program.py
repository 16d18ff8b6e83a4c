"""Programs of a user's own, as whole sweeps: the driver, the study, the states and the processes are real."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import jsonschema
import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from sklearn.datasets import load_digits
from typer.testing import CliRunner

from hpo.cli import app
from hpo.errors import SweepError
from hpo.outcome import SweepResult
from hpo.paths import SweepPaths, list_sweeps
from hpo.programs.program import ProgramWorkload
from hpo.programs.state import read_state
from hpo.records import EndKind, Report, Segment, TrialRecord, TrialSpec
from hpo.run import resume_sweep, run_sweep, start_local, start_ray
from hpo.sweep import OwnSweep, dump_resolved, load_any
from hpo.work import OwnWork
from tests.test_run import Interrupted

Seen = TypeVar("Seen")
ROOT = Path(__file__).parents[2]
FILE = """
name: own
command: python train.py {lr} {state_in} {state_out}
params: {lr: 0.1, how: well}
epochs: 9
metric: {name: score, goal: maximize}
space: {lr: "uniform(0.1, 0.9)"}
sampler: {kind: random}
scheduler: {kind: asha, min_epochs: 1, eta: 3, controls: 0}
budget: {trials: 9}
tracking: none
resources: {max_concurrent: 1}
"""
LOG = """
import json, math, os, pathlib, sqlite3, sys, time

begun_at, to_epoch = int(os.environ["HPO_FROM_EPOCH"]), int(os.environ["HPO_TO_EPOCH"])
database = sqlite3.connect(os.environ["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///"), timeout=20)

def log(name, value, step):  # as MLflow does, which takes seconds to import
    is_nan, now_ms = math.isnan(value), int(time.time() * 1000)
    row = name, 0 if is_nan else value, now_ms, os.environ["MLFLOW_RUN_ID"], step, is_nan
    with database:
        database.execute("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", row)

"""
SUM = """
lr, state_in, state_out = sys.argv[1:]
total = float(pathlib.Path(state_in, "total").read_text()) if state_in else 0.0
assert bool(state_in) == ("HPO_STATE_IN" in os.environ) == (begun_at > 0)
for epoch in range(begun_at + 1, to_epoch + 1):
    total += float(lr) * epoch
    log("norm", total, epoch)
    log("score", float(lr) + epoch / 100, epoch)
pathlib.Path(state_out, "total").write_text(repr(total))
"""


def load(folder: Path, code: str, *overrides: str) -> OwnSweep:
    (folder / "train.py").write_text(LOG + code)
    file = folder / "own.yaml"
    file.write_text(FILE)
    sweep = load_any(file, [f"storage.checkpoints={folder / 'runs'}", *overrides])
    assert isinstance(sweep, OwnSweep)
    return sweep


def run(sweep: OwnSweep) -> SweepResult:
    return run_sweep(sweep, start_executor=start_local)


def one(folder: Path, code: str, *overrides: str) -> TrialRecord:
    """The only trial of a sweep whose program does this, for two epochs at once."""
    alone = ("budget.trials=1", "epochs=2", "scheduler={kind: none}", "retries.error=0")
    [trial] = run(load(folder, code, *alone, *overrides)).trials
    return trial


def wait_for(look: Callable[[], Seen]) -> Seen:
    """What is seen as soon as it is true, or after a long time."""
    give_up_s = time.monotonic() + 60
    while not (seen := look()) and time.monotonic() < give_up_s:
        time.sleep(0.05)
    return seen


def alone(to_epoch: int) -> Segment:
    """Of one trial, from its beginning."""
    spec = TrialSpec(trial_id=0, recipe=json.dumps({"params": {"lr": 0.5}, "seed": 1}))
    return Segment(segment_id=1, cohort=(spec,), from_epoch=0, to_epoch=to_epoch, seed=0)


def total_of(trial: TrialRecord, folder: Path) -> float:
    assert trial.checkpoint is not None
    state = read_state(trial.checkpoint, folder)
    assert isinstance(state, Path)
    return float((state / "total").read_text())


def test_a_program_goes_on_from_rung_to_rung_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    done = run(load(tmp_path, SUM))

    assert Counter(trial.end.kind for trial in done.trials if trial.end) == {EndKind.STOPPED: 8, EndKind.COMPLETE: 1}
    assert done.best is not None
    lr = done.best.params["lr"]
    assert isinstance(lr, float)
    assert done.best.values == {epoch: lr + epoch / 100 for epoch in range(1, 10)}
    assert total_of(done.best, tmp_path) == pytest.approx(45 * lr)
    assert done.best.kept is not None
    assert done.best.kept.metrics["norm"] == pytest.approx(45 * lr)


def test_a_program_that_leaves_no_state_begins_anew_and_nothing_is_told_twice(tmp_path: Path) -> None:
    code = """
assert begun_at == 0 and "HPO_STATE_IN" not in os.environ
for epoch in range(1, to_epoch + 1):
    log("score", float(sys.argv[1]) + epoch / 100, epoch)
print("begun", to_epoch)
"""
    done = run(load(tmp_path, code, "budget.trials=3", "epochs=3"))

    assert done.best is not None
    lr = done.best.params["lr"]
    assert isinstance(lr, float)
    assert done.best.values == {epoch: lr + epoch / 100 for epoch in range(1, 4)}
    said = done.paths.outputs(done.best.trial_id) / "stdout.log"
    assert [line for line in said.read_text().splitlines() if line.startswith("begun")] == ["begun 1", "begun 3"]


@pytest.mark.slow
def test_a_sweep_whose_process_was_killed_goes_on_to_the_same_end(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    few = ("budget.trials=4", "epochs=3")
    undisturbed = run(load(whole, SUM, *few))
    killing = """
if os.environ["HPO_TRIAL_ID"] == "2" and not os.path.exists("driver"):
    log("score", 0.0, 1)
    pathlib.Path("driver").write_text(str(os.getpid()))
    time.sleep(600)
"""
    sweep = load(broken, killing + SUM, *few)
    (broken / "resolved.yaml").write_text(dump_resolved(sweep))
    code = (
        "from pathlib import Path; from hpo.run import *; from hpo.sweep import load_any\n"
        "run_sweep(load_any(Path('resolved.yaml')), start_executor=start_local)"
    )
    driver = subprocess.Popen([sys.executable, "-c", code], cwd=broken, env={**os.environ, "PYTHONPATH": str(ROOT)})
    program = wait_for(lambda: (broken / "driver").exists() and (broken / "driver").read_text())

    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    [paths] = list_sweeps(broken / "runs")
    resumed = resume_sweep(paths, start_executor=start_local)

    assert wait_for(lambda: not Path(f"/proc/{program}").exists())
    assert [(trial.params, trial.values) for trial in resumed.trials] == [
        (trial.params, trial.values) for trial in undisturbed.trials
    ]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("log('scores', 1, 1); log('scores', 1, 2)", "step=1 for the first epoch, but of 1 only scores is logged. Did"),
        ("log('score', 1, 1)", "logged of every epoch up to 2, to the run that MLFLOW_RUN_ID names, with step=1 for"),
        ("log('score', 1, 0); log('score', 1, 1)", "but of 2 nothing is logged"),
        ("log('score', 1, 2)", "but of 1 nothing is logged"),
        ("for e in (1, 2, 3): log('score', 1, e)", "no epoch after 2 may be logged now, but got score of 3."),
        ("log('seconds', 1, 1)", "seconds must not be logged, for it is measured already."),
        ("log('score', 1, 1); sys.exit('no luck')", "must end with exit code 0, but ended with exit code 1: no luck"),
        ("os.kill(os.getpid(), 11)", "but ended with signal SIGSEGV: it has said nothing"),
    ],
)
def test_a_program_that_breaks_a_rule_fails_and_is_told_which(code: str, told: str, tmp_path: Path) -> None:
    trial = one(tmp_path, code)

    assert trial.end is not None
    assert trial.end.kind is EndKind.FAILED
    assert told in str(trial.end.reason["error"])


def test_a_failure_holds_the_last_lines_of_what_the_program_has_said(tmp_path: Path) -> None:
    trial = one(tmp_path, "for n in range(50): print('line', n, file=sys.stderr)\nraise RuntimeError('no luck')")

    assert trial.end is not None
    told = str(trial.end.reason["traceback"])
    assert "RuntimeError: no luck" in told
    assert "line 49" in told
    assert "line 9\n" not in told


def test_a_value_is_one_word_whatever_is_in_it_and_no_shell_sees_it(tmp_path: Path) -> None:
    nasty = "$(touch hacked); `touch hacked` && touch 'hacked' | \" {lr} *"
    code = """
pathlib.Path("said.json").write_text(json.dumps([sys.argv[1:], json.loads(os.environ["HPO_PARAMS"])]))
for epoch in (1, 2): log("score", 1.0, epoch)
"""
    command = "python train.py --how={how} '{{}} {units}' {lr} {trial_id}"
    settings = (f"command={json.dumps(command)}", f"params.how={json.dumps(nasty)}", "params.units=[8, 4]")

    trial = one(tmp_path, code, *settings)

    assert trial.end is not None
    assert trial.end.kind is EndKind.COMPLETE
    words, params = json.loads((tmp_path / "said.json").read_text())
    assert words == [f"--how={nasty}", "{} [8, 4]", str(trial.params["lr"]), "0"]
    assert params == {"how": nasty, "units": [8, 4], "lr": trial.params["lr"]}
    assert not (tmp_path / "hacked").exists()


def test_a_metric_that_is_not_finite_ends_the_trial_and_its_program_as_diverged(tmp_path: Path) -> None:
    trial = one(tmp_path, "log('score', 1, 1); log('loss', math.nan, 2); time.sleep(600)")

    assert trial.end is not None
    assert (trial.end.kind, trial.end.epoch) == (EndKind.DIVERGED, 2)
    assert trial.values == {1: 1.0}


def test_epochs_are_reported_while_the_program_runs_and_a_limit_ends_it(tmp_path: Path) -> None:
    trial = one(tmp_path, "log('score', 1, 1); log('score', 1, 2); time.sleep(600)", "retries.trial_timeout=3")

    assert trial.end is not None
    assert (trial.end.kind, trial.end.epoch) == (EndKind.TIMED_OUT, 1)
    assert trial.end.reason == {"limit_s": 3.0}
    assert trial.values == {1: 1.0}


def test_a_paused_sweep_leaves_no_program_behind(tmp_path: Path) -> None:
    code = "pathlib.Path('pid').write_text(str(os.getpid())); log('score', 1, 1); log('score', 1, 2); time.sleep(600)"
    sweep = load(tmp_path, code, "epochs=2", "scheduler={kind: none}")

    run_sweep(sweep, start_executor=lambda sweep, work: Interrupted(start_local(sweep, work), 1))

    program = (tmp_path / "pid").read_text()
    assert wait_for(lambda: not Path(f"/proc/{program}").exists())


def test_an_epoch_takes_as_long_as_the_program_says_whenever_it_is_looked_at(tmp_path: Path) -> None:
    sweep = load(tmp_path, "for e in (1, 2, 3): time.sleep(0.1 * (e == 2)); log('score', 1, e)")
    workload = OwnWork(sweep).workload(SweepPaths(tmp_path / "runs" / "own-1"))

    first, second, last = workload.open(num_threads=1, use_gpu=False)(alone(to_epoch=3))

    assert isinstance(first, Report)
    assert isinstance(second, Report)
    assert isinstance(last, Report)
    assert second.metrics["seconds"] > 0.09
    assert last.metrics["seconds"] > 0
    assert (first.checkpoint, second.checkpoint, last.checkpoint is None) == (None, None, False)


def test_a_program_has_the_threads_and_the_gpus_that_the_sweep_gives_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    code = """
log("threads", int(os.environ["OMP_NUM_THREADS"]), 2)
log("gpu", int(os.environ["CUDA_VISIBLE_DEVICES"] or -1), 2)
for epoch in (1, 2): log("score", 1.0, epoch)
"""
    given = {}
    for gpus in (0, 1):
        folder = tmp_path / str(gpus)
        folder.mkdir()
        trial = one(folder, code, "resources.cpus=2", f"resources.gpus={gpus}")
        assert trial.kept is not None
        given[gpus] = (trial.kept.metrics["threads"], trial.kept.metrics["gpu"])

    assert given == {0: (2, -1), 1: (2, 3)}


def test_a_program_runs_in_the_folder_of_its_sweep_or_in_one_that_the_file_names(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "train.py").write_text(LOG + "for e in (1, 2): log('score', os.path.exists('here'), e)")
    (tmp_path / "inner" / "here").touch()

    trial = one(tmp_path, "raise SystemExit", "folder=inner")

    assert trial.end is not None
    assert trial.end.value == 1


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("command=python train.py {optimizer.l}", "command: must name params, or from_epoch, to_epoch,"),
        ("command=python train.py {sed}", "{sed} is none. Did you mean `seed`?"),
        ("command=python train.py {lr:.3f}", "{lr:.3f} is none."),
        ("command=python 'train.py", "must be words as in a shell"),
        ("command=python train.py {lr", "but expected '}' before end of string"),
        ('command=""', "must name a program, but is empty"),
        ("function=a.b:fit", "command: must be there, or function, but not both: got both"),
        ("params={lr: 0.1, seed: 3}", "params.seed: must not be the name of a param with command"),
        ("model={kind: mlp}", "model: must be left out with command"),
        ("resources.lanes=4", "resources.lanes: must be auto with command"),
        ("resources.workers=2", "resources.workers: must be 1 with command"),
    ],
)
def test_what_a_program_cannot_have_is_refused(override: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(SweepError) as caught:
        load(tmp_path, SUM, override)

    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("no_such_program {lr}", "must begin with a program that runs from .*, but no_such_program is none"),
        ("./no_such_program", "but ./no_such_program is none"),
        ("python no_such.py", "must name a script that lies in .*, but no_such.py does not"),
    ],
)
def test_a_program_that_is_not_there_is_refused_before_anything_runs(command: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(SweepError, match=told):
        run(load(tmp_path, SUM, f"command={command}"))
    assert not (tmp_path / "runs").exists()


def test_to_check_a_command_runs_nothing(tmp_path: Path) -> None:
    load(tmp_path, "pathlib.Path('ran').touch()", "command=python train.py")

    checked = CliRunner().invoke(app, ["check", str(tmp_path / "own.yaml")])

    assert checked.exit_code == 0, checked.output
    assert not (tmp_path / "ran").exists()


def test_a_folder_without_a_command_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(FILE.replace("command: python train.py {lr} {state_in} {state_out}", "function: a.b:fit"))

    with pytest.raises(SweepError, match="folder: must be left out without command"):
        load_any(file, ["folder=inner"])


def test_the_resolved_file_loads_again_to_an_equal_sweep(tmp_path: Path) -> None:
    sweep = load(tmp_path, SUM)
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "resolved.yaml").write_text(dump_resolved(sweep))

    again = load_any(tmp_path / "inner" / "resolved.yaml")

    assert again == sweep
    assert sweep.folder == tmp_path.resolve()


def test_a_program_finds_its_folder_in_what_a_node_was_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent, elsewhere = tmp_path / "runs" / "own-1" / "code", tmp_path / "node"
    (sent / "inner").mkdir(parents=True)
    workload = OwnWork(load(sent / "inner", SUM)).workload(SweepPaths(tmp_path / "runs" / "own-1"))
    sent.rename(elsewhere)
    monkeypatch.setenv("PYTHONPATH", f"{elsewhere}{os.pathsep}{ROOT}")
    assert isinstance(workload, ProgramWorkload)

    [report] = workload.open(num_threads=1, use_gpu=False)(alone(to_epoch=1))

    assert isinstance(report, Report)
    assert report.metrics["score"] == 0.51


@pytest.mark.slow
def test_ray_trains_a_program_as_this_process_does(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    few = ("budget.trials=3", "epochs=3")

    local = run(load(here, SUM, *few))
    remote = run_sweep(load(there, SUM, *few), start_executor=start_ray)

    assert [trial.values for trial in remote.trials] == [trial.values for trial in local.trials]


@pytest.mark.slow
def test_on_ray_a_program_that_hangs_is_ended_at_its_limit(tmp_path: Path) -> None:
    code = """
pathlib.Path(f"{os.environ['HPO_TRIAL_ID']}.pid").write_text(str(os.getpid()))
if os.environ["HPO_TRIAL_ID"] == "0": time.sleep(600)
"""
    limited = ("budget.trials=2", "epochs=3", "scheduler={kind: none}", "retries.trial_timeout=5")

    done = run_sweep(load(tmp_path, code + SUM, *limited), start_executor=start_ray)

    assert [trial.end.kind for trial in done.trials if trial.end] == [EndKind.TIMED_OUT, EndKind.COMPLETE]
    program = (tmp_path / "0.pid").read_text()
    assert wait_for(lambda: not Path(f"/proc/{program}").exists())


def test_the_worker_of_a_program_imports_no_mlflow() -> None:
    code = "import sys, hpo.programs; print({'torch', 'optuna', 'mlflow', 'ray'} & sys.modules.keys())"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert done.stdout == "set()\n"


def test_the_commands_show_a_sweep_of_a_program(tmp_path: Path) -> None:
    done = run(load(tmp_path, SUM, "budget.trials=2", "epochs=3"))
    runs = ["--runs", str(tmp_path / "runs")]

    def hpo(*words: str) -> str:
        shown = CliRunner().invoke(app, [*words])
        assert shown.exit_code == 0, shown.output
        return shown.output

    assert "python train.py {lr}" in hpo("check", str(tmp_path / "own.yaml"))
    assert "score" in hpo("status", done.paths.sweep_id, *runs)
    assert "complete" in hpo("trials", done.paths.sweep_id, *runs)
    jsonschema.validate(YAML(typ="safe", pure=True).load(tmp_path / "own.yaml"), json.loads(hpo("schema")))


@pytest.mark.slow
def test_the_example_logs_to_mlflow_and_its_states_predict(tmp_path: Path, uri: str) -> None:
    from mlflow import MlflowClient

    file = ROOT / "experiments/own_program/digits.yaml"
    few = ("budget.trials=1", "epochs=3", "scheduler.controls=0")
    kept = (f"storage.checkpoints={tmp_path / 'runs'}", f"tracking.uri={uri}")
    sweep = load_any(file, [*few, *kept])

    done = run_sweep(sweep, start_executor=start_local)

    assert done.best is not None
    assert done.best.checkpoint is not None
    state = read_state(done.best.checkpoint, tmp_path)
    assert isinstance(state, Path)
    kept_state = torch.load(state / "state.pt")
    assert kept_state["epoch"] == 3
    weights = kept_state["model"]
    x, y = load_digits(return_X_y=True)
    hidden = np.maximum(x[1200:1500] / 16 @ weights["0.weight"].numpy().T + weights["0.bias"].numpy(), 0)
    log_odds = hidden @ weights["2.weight"].numpy().T + weights["2.bias"].numpy()
    assert np.mean(log_odds.argmax(axis=1) == y[1200:1500]) == pytest.approx(done.best.values[3], abs=1e-3)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("own-program")
    assert experiment is not None
    [shown_trial] = client.search_runs([experiment.experiment_id], "params.lr != ''")
    run_id = shown_trial.info.run_id
    shown = [(each.step, each.value) for each in client.get_metric_history(run_id, "val_accuracy")]
    assert shown == list(done.best.values.items())
    assert len(client.get_metric_history(run_id, "train_loss")) == 3
