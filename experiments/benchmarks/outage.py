"""What it costs a sweep that MLflow is away: sweeps of 200 small trials through Ray, in turns with a normal one.

    python experiments/benchmarks/outage.py --rounds 2

MLflow is a SQLite database, the same locked by another process for the whole time, a server whose port is closed, or
one that takes connections and never answers. Each sweep runs in a process of its own. Afterwards a server is started
on the closed port, and the doctor writes what is missing; then every point is compared with the study's.
"""

import argparse
import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import mean

from mlflow import MlflowClient
from rich.console import Console
from rich.table import Table

from hpo.folders.doctor import check_up
from hpo.paths import SweepPaths
from hpo.search.reading import read_trials
from hpo.sweep import load_sweep
from hpo.tracking import ui
from hpo.tracking.runs import find_runs

SWEEP = """
name: outage
data: {kind: digits}
model: {kind: mlp, hidden: [32]}
epochs: 9
metric: {name: val_accuracy, goal: maximize}
space: {optimizer.lr: 'loguniform(1e-3, 1)', optimizer.momentum: 'uniform(0, 0.95)'}
sampler: {kind: random}
scheduler: {kind: asha, min_epochs: 1, eta: 3}
budget: {trials: 200}
resources: {lanes: 1}
"""
CODE = "import sys; from hpo.cli import app; app()"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    num_rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name, stores(Path(name)) as uris:
        folder = Path(name)
        (folder / "outage.yaml").write_text(SWEEP)
        done = {kind: [] for kind in uris}
        for _ in range(num_rounds):
            for kind, uri in uris.items():
                done[kind].append(run(folder, uri))
                print(f"{kind}: {done[kind][-1]['elapsed_s']:.1f} s", flush=True)
        table = Table("MLflow", "seconds", "ratio to normal", "not written", box=None)
        normal = [sweep["elapsed_s"] for sweep in done["normal"]]
        for kind, sweeps in done.items():
            seconds = [sweep["elapsed_s"] for sweep in sweeps]
            texts = " ".join(f"{second:.1f}" for second in seconds)
            table.add_row(kind, texts, f"{mean(seconds) / mean(normal):.2f}", sweeps[-1]["untracked"] or "")
        Console(width=200).print(table)
        mend(folder, uris["closed port"], [sweep["id"] for sweep in done["closed port"]])


@contextmanager
def stores(folder: Path) -> Iterator[Mapping[str, str]]:
    """URIs by what is wrong with them."""
    locked = f"sqlite:///{folder}/locked.db"
    MlflowClient(locked).search_experiments()
    with (
        closing(sqlite3.connect(folder / "locked.db")) as owner,
        closing(socket.create_server((ui.HOST, 0))) as silent,
        closing(socket.socket()) as closed,
    ):
        owner.execute("BEGIN EXCLUSIVE")
        threading.Thread(target=hold, args=(silent,), daemon=True).start()
        closed.bind((ui.HOST, 0))
        port = closed.getsockname()[1]
        closed.close()
        yield {
            "normal": f"sqlite:///{folder}/mlflow.db",
            "closed port": ui.url(port),
            "silent": ui.url(silent.getsockname()[1]),
            "locked": locked,
        }


def hold(server: socket.socket) -> None:
    """Take connections, and never answer."""
    held = []
    while True:
        try:
            held.append(server.accept())
        except OSError:
            return


def run(folder: Path, uri: str) -> dict:
    command = [sys.executable, "-c", CODE, "run", "outage.yaml", "-s", f"tracking.uri={uri}", "--json"]
    done = subprocess.run(command, cwd=folder, env=dict(os.environ), stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def mend(folder: Path, uri: str, sweep_ids: list[str]) -> None:
    """Start the server, call the doctor, and compare MLflow with the studies."""
    server = ui.start(f"sqlite:///{folder}/late.db", int(uri.rpartition(":")[2]))
    try:
        began = time.monotonic()
        sweeps = [SweepPaths(folder / "runs" / sweep_id) for sweep_id in sweep_ids]
        for checkup in check_up(sweeps):
            print(f"{checkup.sweep_id}: {checkup.num_waiting} waited, {checkup.num_left} left, {checkup.problems}")
        print(f"the doctor took {time.monotonic() - began:.1f} s")
        for paths in sweeps:
            compare(uri, paths)
    finally:
        server.terminate()
        server.wait()


def compare(uri: str, paths: SweepPaths) -> None:
    client, trials = MlflowClient(uri), read_trials(paths.study, load_sweep(paths.resolved).space)
    experiment = client.get_experiment_by_name("outage")
    assert experiment is not None
    runs = find_runs(client, experiment.experiment_id, paths.sweep_id)
    num_points = num_apart = 0
    for trial in trials:
        run = runs[trial.trial_id]
        points = client.get_metric_history(run.info.run_id, "val_accuracy")
        num_points += len(points)
        is_equal = [(point.step, point.value) for point in points] == sorted(trial.values.items())
        num_apart += not (is_equal and trial.end and run.data.tags["hpo.end"] == trial.end.kind.value)
    print(f"{paths.sweep_id}: {len(trials)} trials, {len(runs) - 1} runs, {num_points} points, {num_apart} apart")


if __name__ == "__main__":
    main()
