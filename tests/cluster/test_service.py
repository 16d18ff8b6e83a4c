"""The whole service: two nodes, PostgreSQL, MLflow's server, a store, a node that dies, and a laptop that looks on."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from pyarrow.fs import FileSelector, S3FileSystem

from hpo.tracking import ui
from tests.browser import CHROMIUM, looked_at
from tests.chaos.cast import wait_until
from tests.cluster.conftest import HPO, Done
from tests.cluster.network import network
from tests.cluster.nodes import Head, head_node, kill, num_trained_on, plain_environment, worker_node
from tests.servers import free_port, postgres, s3

pytestmark = pytest.mark.slow

LONG_S = 600.0
PASSWORD = "correct-horse-battery"
NETS = """
import sys
import time
from pathlib import Path

from torch import Tensor, nn


class Slow(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        if self.training and "worker" in sys.argv[0] and not Path("{hurry}").exists():
            time.sleep(2)
        return super().forward(x)


def make_model(input_shape: tuple[int, ...], num_classes: int, width: int = 8) -> nn.Module:
    return Slow(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, num_classes))
"""
SWEEP = """
name: service
data: {{kind: digits}}
model: {{kind: custom, factory: 'my_pkg.nets:make_model', arguments: {{width: 16}}}}
epochs: 9
metric: {{name: val_accuracy, goal: maximize}}
space: {{file: spaces/rates.yaml, batch_size: 'choice(128, 256)'}}
scheduler: {{kind: asha, min_epochs: 3, eta: 3}}
budget: {{trials: 12}}
resources: {{lanes: 1}}
tracking: {{uri: '{mlflow}'}}
storage: {{study: 'postgresql://postgres:${{HPO_PASSWORD}}@127.0.0.1:{port}/postgres', checkpoints: 's3://sweeps'}}
"""


@dataclass(frozen=True)
class Service:
    """What runs, but for the laptop's folder."""

    head: Head
    second: subprocess.Popen[bytes]
    mlflow: str
    store: dict[str, str]
    folder: Path

    def hpo(self, *arguments: str) -> Done:
        """As typed on the laptop, which knows where the cluster is, and no password of its services."""
        return subprocess.run(
            [*HPO, *arguments], cwd=self.folder, env=self._environment, capture_output=True, text=True, check=False
        )

    def submit(self, *arguments: str) -> "subprocess.Popen[str]":
        """In the background."""
        command, pipe = [*HPO, "submit", *arguments], subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.folder, env=self._environment, stdout=pipe, stderr=subprocess.STDOUT, text=True
        )

    def status(self) -> dict[str, Any]:
        """As `hpo status` has it."""
        done = self.hpo("status", "whole", "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    @property
    def nodes(self) -> list["subprocess.Popen[bytes]"]:
        """Both."""
        return [self.head.process, self.second]

    @property
    def hurry(self) -> Path:
        """Once it is there, trials do not dawdle."""
        return self.folder.parent / "hurry"

    @property
    def _environment(self) -> dict[str, str]:
        return plain_environment(self.head.environment)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with ExitStack() as running:
        wire = running.enter_context(network())
        store = {**running.enter_context(s3("sweeps", "mlflow", host=wire.here)), "AWS_DEFAULT_REGION": "us-east-1"}
        database = running.enter_context(postgres())
        database.create("mlflow")
        port = free_port()
        mlflow = subprocess.Popen(
            [*ui.command(port), "--artifacts-destination", "s3://mlflow"],
            env=ui.environment(database.url_of("mlflow").replace("postgresql:", "postgresql+psycopg:")) | store,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        running.callback(mlflow.wait)
        running.callback(mlflow.terminate)
        own = {**store, "HPO_PASSWORD": PASSWORD}
        head = running.enter_context(head_node(tmp_path / "home", num_cpus=1, ip=wire.here, own=own))
        second = running.enter_context(worker_node(head, num_cpus=2, ip=wire.there, inside=wire.inside, own=own))
        assert wait_until(lambda: ui.is_up(ui.url(port)), LONG_S)
        folder = tmp_path / "laptop"
        for name, text in {
            "my_pkg/nets.py": NETS.format(hurry=tmp_path / "hurry"),
            "spaces/rates.yaml": "optimizer.lr: loguniform(1e-3, 1)\n",
            "sweep.yaml": SWEEP.format(mlflow=ui.url(port), port=database.port),
        }.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        yield Service(head, second, ui.url(port), store, folder)


def test_a_sweep_outlives_a_node_and_a_pause_and_all_of_it_is_there_once(service: Service, tmp_path: Path) -> None:
    following = service.submit("sweep.yaml", "--id", "whole", "--follow")
    assert wait_until(lambda: all(map(num_trained_on, service.nodes)), LONG_S), service.hpo("logs", "whole")
    assert wait_until(lambda: num_points(service) >= 2, LONG_S)
    running = service.status()
    before = num_points(service)
    kill(service.second)
    assert wait_until(lambda: num_points(service) >= before + 2, LONG_S)

    paused = service.hpo("pause", "whole")
    said, _ = following.communicate(timeout=LONG_S)
    is_free = wait_until(lambda: num_cpus_used(service.head) == 0, 60)
    left = service.status()
    service.hurry.touch()
    resumed = service.hpo("resume", "whole")

    assert running["state"] == "running"
    assert (paused.returncode, following.returncode) == (0, 130), said
    assert re.search(r"whole paused after .*; trials: (.*, )?\d+ waiting", said)
    assert is_free
    assert (left["state"], left["driver"]) == ("paused", None)
    assert resumed.returncode == 0, resumed
    trials = json.loads(service.hpo("trials", "whole", "--json").stdout)
    assert len(trials) == 12
    assert {trial["end"] for trial in trials} <= {"complete", "stopped"}
    shown_once(service, trials)
    assert any(name.endswith(".safetensors") for name in stored(service))
    assert json.loads(service.hpo("best", "whole", "--json").stdout)["trial"] == trials[0]["trial"]
    log = service.hpo("logs", "whole").stdout
    assert log.index("whole is paused.") < log.index("whole is finished.")
    written = [path for path in (service.head.home / "runs/whole").rglob("*") if path.is_file()]
    assert not any(PASSWORD.encode() in path.read_bytes() for path in written)
    bundle_is_taken_away(service, tmp_path / "away")
    seen_in_a_browser(service, Path(os.environ.get("HPO_PICTURES", tmp_path)))


def bundle_is_taken_away(service: Service, folder: Path) -> None:
    """By whoever reaches MLflow's server, which holds it in the store."""
    run_id = dict(runs_of(service))[-1].info.run_id
    command = [sys.executable, "-m", "mlflow", "artifacts", "download", "--run-id", run_id]
    known = plain_environment({"MLFLOW_TRACKING_URI": service.mlflow})
    subprocess.run([*command, "--artifact-path", "best", "--dst-path", folder], env=known, check=True)
    x = np.zeros((3, 1, 8, 8), dtype=np.float32)
    assert torch.export.load(folder / "best/model.pt2").module()(torch.from_numpy(x)).shape == (3, 10)


def seen_in_a_browser(service: Service, pictures: Path) -> None:
    """The sweep's run with its children; the children's table, and their curves."""
    if CHROMIUM is None:
        return
    run = dict(runs_of(service))[-1]
    table = ui.url_of_sweep(service.mlflow, "service", "whole")
    parent = f"{service.mlflow}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    assert {"whole", "whole/11"} <= texts(looked_at(parent, pictures / "parent.png"))
    assert {"whole/0", "whole/11", "final_val_accuracy"} <= texts(looked_at(table, pictures / "table.png"))
    curves = looked_at(f"{table}&compareRunsMode=CHART", pictures / "curves.png", size="1600,1400")
    assert {"whole/0", "val_accuracy"} <= texts(curves)
    assert "scatterlayer" in curves  # lines were drawn


def texts(page: str) -> set[str]:
    """What stands between tags."""
    return set(re.findall(r">([^<>]+)<", page))


def shown_once(service: Service, trials: Sequence[Mapping[str, Any]]) -> None:
    """By MLflow: a run for each trial, ended, with a point for each epoch."""
    runs = runs_of(service)
    assert sorted(trial for trial, _ in runs) == sorted([-1, *(trial["trial"] for trial in trials)])
    assert {run.info.status for _, run in runs} == {"FINISHED"}
    assert PASSWORD not in str([run.to_dictionary() for _, run in runs])
    epochs = {trial["trial"]: trial["epoch"] for trial in trials}
    client = MlflowClient(service.mlflow)
    for trial, run in runs:
        if trial >= 0:
            points = client.get_metric_history(run.info.run_id, "val_accuracy")
            assert [point.step for point in points] == list(range(1, epochs[trial] + 1))


def stored(service: Service) -> list[str]:
    """Names of what lies in the store for the sweep."""
    known = service.store
    store = S3FileSystem(
        endpoint_override=known["AWS_ENDPOINT_URL"],
        access_key=known["AWS_ACCESS_KEY_ID"],
        secret_key=known["AWS_SECRET_ACCESS_KEY"],
        region=known["AWS_DEFAULT_REGION"],
    )
    return [file.path for file in store.get_file_info(FileSelector("sweeps/whole", recursive=True))]


def num_points(service: Service) -> int:
    """Epochs that MLflow shows."""
    client = MlflowClient(service.mlflow)
    ids = [run.info.run_id for trial, run in runs_of(service) if trial >= 0]
    return sum(len(client.get_metric_history(run_id, "val_accuracy")) for run_id in ids)


def runs_of(service: Service) -> list[tuple[int, Run]]:
    """Those of the sweep, by trial; -1 for its own."""
    client = MlflowClient(service.mlflow)
    found = client.get_experiment_by_name("service")
    runs = [] if found is None else client.search_runs([found.experiment_id], "tags.`hpo.sweep` = 'whole'")
    return [(int(run.data.tags.get("hpo.trial", -1)), run) for run in runs]


def num_cpus_used(head: Head) -> float:
    """As Ray's own page has it."""
    request = Request(f"{head.address}/api/cluster_status", headers={"Authorization": f"Bearer {head.token}"})
    with urlopen(request, timeout=30) as answer:
        usage = json.load(answer)["data"]["clusterStatus"]["loadMetricsReport"]["usage"]
    return float(usage["CPU"][0])
