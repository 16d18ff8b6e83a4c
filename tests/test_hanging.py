"""A whole sweep on Ray, in which a network of the user's hangs."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from hpo.cli.main import app
from hpo.records import EndKind
from hpo.run import run_sweep
from hpo.search.reading import read_trials
from hpo.sweep import load_sweep

NETS = """
import time
from torch import nn

class Moody(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.layer = nn.Linear(width, classes)

    def forward(self, x):
        if self.training and len(x) == 48:
            time.sleep(600)
        return self.layer(x.flatten(1))

def make(input_shape, num_classes):
    return Moody(64, num_classes)
"""
SWEEP = """\
name: moody
data: {kind: digits}
model: moody_nets:make
metric: {name: val_accuracy, goal: maximize}
space: {batch_size: "choice(32, 48, 64)"}
epochs: 2
sampler: {kind: grid}
scheduler: {kind: none}
budget: {trials: 3}
retries: {trial_timeout: 4s}
export: {formats: []}
"""


@pytest.fixture
def a_ray_of_our_own() -> Iterator[None]:
    import ray

    yield
    ray.shutdown()


@pytest.mark.slow
def test_a_trial_that_hangs_is_timed_out_everywhere_and_the_others_are_complete(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch, a_ray_of_our_own: None
) -> None:
    (tmp_path / "moody_nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "moody.yaml").write_text(SWEEP)
    kept = [f"storage.checkpoints={tmp_path / 'runs'}", f"tracking.uri={uri}"]
    sweep = load_sweep(tmp_path / "moody.yaml", kept)

    result = run_sweep(sweep)

    trials = {trial.params["batch_size"]: trial for trial in read_trials(result.paths.study, result.space)}
    end, hung = trials[48].end, trials[48].trial_id
    assert result.ends == {EndKind.COMPLETE: 2, EndKind.TIMED_OUT: 1}
    assert end is not None
    assert (end.epoch, end.reason) == (0, {"limit_s": 4.0})
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("moody")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.`hpo.end` = 'timed_out'")
    assert [(run.info.status, run.data.tags["hpo.limit_s"]) for run in runs] == [("FAILED", "4.0")]
    said = CliRunner().invoke(
        app, ["trial", f"{result.paths.sweep_id}/{hung}", "--json", "--runs", str(tmp_path / "runs")]
    )
    assert json.loads(said.stdout)["reason"] == {"limit_s": 4.0}
