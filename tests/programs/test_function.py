"""Training functions of a user's own, as whole sweeps: the driver, the study and the states are real."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import jsonschema
import numpy as np
import numpy.typing as npt
import pytest
from ruamel.yaml import YAML
from sklearn.datasets import load_digits
from typer.testing import CliRunner

from hpo.cli import app
from hpo.errors import HpoError, SweepError, TrialsFailedError
from hpo.folders.folder import open_folder
from hpo.outcome import SweepResult
from hpo.paths import list_sweeps
from hpo.programs.state import read_state
from hpo.records import EndKind, TrialRecord
from hpo.run import resume_sweep, run_sweep, start_local, start_ray
from hpo.search.reading import read_trials
from hpo.sweep import OwnSweep, dump_resolved, load_any, load_sweep
from tests.test_run import Interrupted

ROOT = Path(__file__).parents[2]
FILE = """
name: own
function: {module}:fit
params: {{lr: 0.1, width: 3, how: well}}
epochs: 9
metric: {{name: score, goal: maximize}}
space: {{lr: "uniform(0.1, 0.9)"}}
sampler: {{kind: random}}
scheduler: {{kind: asha, min_epochs: 1, eta: 3, controls: 0}}
budget: {{trials: 9}}
tracking: none
resources: {{max_concurrent: 1}}
"""
WALK = """
import numpy as np

def fit(trial):
    place = np.zeros(trial.params["width"]) if trial.state is None else trial.state["place"]
    for epoch in trial.epochs():
        place = place + trial.params["lr"] * np.random.default_rng([trial.seed, epoch]).normal(size=len(place))
        trial.report(epoch, score=trial.params["lr"] + epoch / 100, norm=np.linalg.norm(place), state={"place": place})
"""


def load(folder: Path, code: str, *overrides: str, module: str = "") -> OwnSweep:
    module = module or f"own_{folder.name}".replace("-", "_")
    (folder / f"{module}.py").write_text(code)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    file = folder / "own.yaml"
    file.write_text(FILE.format(module=module))
    sweep = load_any(file, [f"storage.checkpoints={folder / 'runs'}", *overrides])
    assert isinstance(sweep, OwnSweep)
    return sweep


def run(sweep: OwnSweep) -> SweepResult:
    return run_sweep(sweep, start_executor=start_local)


def one(folder: Path, body: str, *overrides: str) -> TrialRecord:
    """The only trial of a sweep whose function does this, for two epochs at once."""
    code = "import time\n\ndef fit(trial):\n" + "".join(f"    {line}\n" for line in body.splitlines())
    alone = ("budget.trials=1", "epochs=2", "scheduler={kind: none}", "retries.error=0")
    [trial] = run(load(folder, code, *alone, *overrides)).trials
    return trial


def undisturbed(trial: TrialRecord, seed: int) -> npt.NDArray[np.float64]:
    """Where a walk of nine epochs ends that was never cut, by numpy alone."""
    place, lr = np.zeros(3), trial.params["lr"]
    assert isinstance(lr, float)
    for epoch in range(1, 10):
        place = place + lr * np.random.default_rng([seed, epoch]).normal(size=3)
    return place


def test_a_function_goes_on_from_rung_to_rung_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    sweep = load(tmp_path, WALK)

    done = run(sweep)

    assert Counter(trial.end.kind for trial in done.trials if trial.end) == {EndKind.STOPPED: 8, EndKind.COMPLETE: 1}
    assert done.best is not None
    assert list(done.best.values) == list(range(1, 10))
    assert done.best.checkpoint is not None
    state = read_state(done.best.checkpoint, tmp_path)
    assert isinstance(state, dict)
    seed = int(sweep.specify(done.best).recipe.partition('"seed": ')[2].rstrip("}"))
    np.testing.assert_array_equal(state["place"], undisturbed(done.best, seed))


def test_a_sweep_that_was_interrupted_goes_on_to_the_same_end(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    undisturbed = run(load(whole, WALK))
    sweep = load(broken, WALK)

    paused = run_sweep(sweep, start_executor=lambda sweep, work: Interrupted(start_local(sweep, work), 12))
    resumed = resume_sweep(paused.paths, start_executor=start_local)

    assert [(trial.params, trial.values) for trial in resumed.trials] == [
        (trial.params, trial.values) for trial in undisturbed.trials
    ]


def test_a_sweep_whose_process_was_killed_goes_on_to_the_same_end(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    undisturbed = run(load(whole, WALK))
    killing = WALK.replace("    for epoch", "    import os, pathlib\n    for epoch").replace(
        "        trial.report",
        "        if trial.trial_id == 4 and epoch == 3 and not pathlib.Path(__file__).with_name('killed').exists():\n"
        "            pathlib.Path(__file__).with_name('killed').touch()\n"
        "            os.kill(os.getpid(), 9)\n"
        "        trial.report",
    )
    points = "points=[" + ",".join(f"{{lr: {trial.params['lr']}}}" for trial in undisturbed.trials) + "]"
    sweep = load(broken, killing, points, "space={lr: 'uniform(0.1, 0.9)'}", module="killing")
    (broken / "resolved.yaml").write_text(dump_resolved(sweep))
    code = (
        "import sys; from pathlib import Path; from hpo.run import *; from hpo.sweep import load_any\n"
        "sys.path.append('.'); run_sweep(load_any(Path('resolved.yaml')), start_executor=start_local)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    killed = subprocess.run([sys.executable, "-c", code], cwd=broken, env=environment, check=False)
    [paths] = list_sweeps(broken / "runs")
    resumed = resume_sweep(paths, start_executor=start_local)

    assert killed.returncode == -9
    assert (broken / "killed").exists()
    assert [(trial.params, trial.values) for trial in resumed.trials] == [
        (trial.params, trial.values) for trial in undisturbed.trials
    ]


def test_the_commands_show_a_sweep_of_a_function(tmp_path: Path) -> None:
    sweep = load(tmp_path, WALK)
    done = run(sweep)
    runs = ["--runs", str(tmp_path / "runs")]
    sweep_id = done.paths.sweep_id

    def hpo(*words: str) -> str:
        shown = CliRunner().invoke(app, [*words])
        assert shown.exit_code == 0, shown.output
        return shown.output

    assert f"own_{tmp_path.name}:fit".replace("-", "_") in hpo("check", str(tmp_path / "own.yaml"))
    assert done.best is not None
    assert done.best.checkpoint is not None
    assert done.best.checkpoint in hpo("best", sweep_id, *runs)
    assert "score" in hpo("status", sweep_id, *runs)
    assert "complete" in hpo("trials", sweep_id, *runs)
    assert "freed" in hpo("gc", sweep_id, "--keep", "1MB", *runs)
    jsonschema.validate(YAML(typ="safe", pure=True).load(tmp_path / "own.yaml"), json.loads(hpo("schema")))


def test_a_child_of_a_population_goes_on_from_its_parents_state(tmp_path: Path) -> None:
    code = """
def fit(trial):
    past = [] if trial.state is None else trial.state["past"]
    for epoch in trial.epochs():
        past = [*past, trial.trial_id]
        trial.report(epoch, score=trial.params["lr"], state={"past": past})
"""
    sweep = load(tmp_path, code, "scheduler={kind: pbt, population: 4, every: 3}", "budget={minutes: 9}")

    trials = run(sweep).trials

    child = next(trial for trial in trials if trial.parent is not None and trial.checkpoint is not None)
    assert child.parent is not None
    assert child.checkpoint is not None
    state = read_state(child.checkpoint, tmp_path)
    assert isinstance(state, dict)
    own = child.kept.epoch - child.parent.epoch if child.kept else 0
    assert len(state["past"]) == child.parent.epoch + own
    assert state["past"][child.parent.epoch :] == [child.trial_id] * own
    assert child.trial_id not in state["past"][: child.parent.epoch]


def test_a_report_that_is_not_finite_ends_the_trial_as_diverged(tmp_path: Path) -> None:
    trial = one(tmp_path, "for epoch in trial.epochs():\n    trial.report(epoch, score=0.5, loss=float('nan'))")

    assert trial.end is not None
    assert (trial.end.kind, trial.end.epoch) == (EndKind.DIVERGED, 1)
    assert trial.values == {}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("trial.report(1, scores=1)", "every report must hold score, the sweep's metric, but holds scores. Did you"),
        ("trial.report(2, score=1)", "epochs must be reported in turn, each once: 1 is next, but got 2."),
        ("trial.report(1, score=1)\ntrial.report(1, score=1)", "each once: 2 is next, but got 1."),
        ("trial.report(1, score='high')", "score: a metric must be a number, but got 'high'."),
        ("trial.report(1, score=1, seconds=3)", "seconds must not be reported, for it is measured already."),
        ("list(trial.epochs())", "every epoch must be reported before the next begins, but 1 was not."),
        ("trial.report(1, score=1)", "must be reported, but the function returned after epoch 1 of 2."),
        ("for e in (1, 2, 3): trial.report(e, score=1)", "no epoch after 2 may be reported now, but got 3."),
        ("for e in trial.epochs(): trial.report(e, score=1, state=3)", "a path of a folder, but got a int"),
        ("for e in trial.epochs(): trial.report(e, score=1, state={'a': [len]})", "state['a'][0]: a state must hold"),
        ("raise RuntimeError('no luck')", "RuntimeError: no luck"),
        ("exit(3)", "SystemExit: 3"),
    ],
)
def test_a_function_that_breaks_a_rule_fails_and_is_told_which(body: str, told: str, tmp_path: Path) -> None:
    trial = one(tmp_path, body)

    assert trial.end is not None
    assert trial.end.kind is EndKind.FAILED
    assert told.replace("a path of a folder", "the Path of a folder") in str(trial.end.reason["error"])
    assert "Traceback" in str(trial.end.reason["traceback"])


def test_a_rung_without_a_state_is_told_what_to_do(tmp_path: Path) -> None:
    code = "def fit(trial):\n    for epoch in trial.epochs():\n        trial.report(epoch, score=1)\n"

    with pytest.raises(TrialsFailedError, match=r"a state must come with the last of trial.epochs\(\)"):
        run(load(tmp_path, code))


def test_a_trial_over_its_time_limit_ends_there(tmp_path: Path) -> None:
    body = "for epoch in trial.epochs():\n    time.sleep(0.2)\n    trial.report(epoch, score=1)"

    trial = one(tmp_path, body, "retries.trial_timeout=0.1")

    assert trial.end is not None
    assert (trial.end.kind, trial.end.epoch) == (EndKind.TIMED_OUT, 1)


def test_what_a_function_raises_is_tried_again(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    body = f"""\
if not __import__("os").path.exists({str(flag)!r}):
    open({str(flag)!r}, "w").close()
    raise RuntimeError("once")
for epoch in trial.epochs():
    trial.report(epoch, score=1)"""

    trial = one(tmp_path, body, "retries.error=1")

    assert trial.end is not None
    assert trial.end.kind is EndKind.COMPLETE


@pytest.mark.slow
def test_ray_trains_a_function_as_this_process_does(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    few = ("budget.trials=3", "epochs=3")

    local = run(load(here, WALK, *few))
    remote = run_sweep(load(there, WALK, *few), start_executor=start_ray)

    assert [trial.values for trial in remote.trials] == [trial.values for trial in local.trials]


def test_the_worker_of_a_function_imports_no_torch() -> None:
    code = "import sys, hpo.programs; print({'torch', 'optuna', 'mlflow', 'ray'} & sys.modules.keys())"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("space={lrr: 'uniform(0, 1)'}", "space.lrr: must be one of params, but is none. Did you mean `lr`?"),
        ("finalists={count: 2, seeds: 2}", "finalists: must be left out with function"),
        ("model={kind: mlp}", "model: must be left out with function"),
        ("ensemble={kind: greedy}", "ensemble: must be left out with function"),
        ("resources.workers=2", "resources.workers: must be 1 with function"),
        ("resources.lanes=4", "resources.lanes: must be auto with function"),
        ("metric.name=seconds", "must be one that you report, but seconds is measured for you"),
        ("function=json:loads", "but json is a part of Python itself"),
        ("params={lr: 1, 2bad: 3}", "params.2bad: must be letters, digits and _"),
        ("scheduler={kind: asha, compare: averaged}", "scheduler.compare: must not be averaged with function"),
        ("sampler={kind: nsga2}", "nsga2 is for several metrics"),
    ],
)
def test_what_a_function_cannot_have_is_refused(override: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(SweepError) as caught:
        load(tmp_path, WALK, override)

    assert told in str(caught.value)


def test_a_function_that_cannot_be_called_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="must name a function that Python can import.*no_such_module"):
        run(load(tmp_path, WALK, "function=no_such_module:fit"))
    with pytest.raises(SweepError, match="must be a function of one argument, the trial"):
        run(load(tmp_path, "def fit():\n    pass\n", module="of_nothing"))
    assert not (tmp_path / "runs").exists()


def test_the_resolved_file_loads_again_to_an_equal_sweep(tmp_path: Path) -> None:
    sweep = load(tmp_path, WALK, "params.more.names=[1, 2]")
    (tmp_path / "resolved.yaml").write_text(dump_resolved(sweep))

    again = load_any(tmp_path / "resolved.yaml")

    assert again == sweep
    assert sweep.params["more.names"] == (1, 2)


def test_who_needs_a_network_refuses_a_sweep_of_a_function(tmp_path: Path) -> None:
    done = run(load(tmp_path, WALK, "budget.trials=1", "scheduler={kind: none}"))

    with pytest.raises(HpoError, match="function: must be left out here, where a network is needed"):
        open_folder(done.paths)
    assert read_trials(done.paths.study, load_any(done.paths.resolved).space)
    with pytest.raises(SweepError):
        load_sweep(done.paths.resolved)


def test_the_example_trains_and_its_states_predict(tmp_path: Path) -> None:
    file = ROOT / "experiments/own_function/digits.yaml"
    sys.path.append(str(file.parent))
    few = ("budget.trials=3", "epochs=3", "tracking=none")
    sweep = load_any(file, [*few, f"storage.checkpoints={tmp_path / 'runs'}"])

    done = run_sweep(sweep, start_executor=start_local)

    assert done.best is not None
    assert done.best.checkpoint is not None
    state = read_state(done.best.checkpoint, tmp_path)
    assert isinstance(state, dict)
    x, y = load_digits(return_X_y=True)
    log_odds = x[1200:1500] / 16 @ state["coef_"].T + state["intercept_"]
    assert np.mean(log_odds.argmax(axis=1) == y[1200:1500]) == done.best.values[3] > 0.8
