"""One run of the search benchmark: a method on a task, with workers that train at once, in virtual time."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from search_peers.serving import Job
from search_peers.serving import Task as PeerTask
from search_tasks import SearchTask

from hpo.config import JsonTree
from hpo.execution.simulated import SimulatedExecutor
from hpo.records import Idle, Report, Segment, SegmentEnd, TrialSpec
from hpo.scheduling import Budget
from hpo.simulation import Measured, Simulation, simulate

METRIC = "val_accuracy"
EPOCH_S = 60.0
"""Virtual, where curves do not say; long, so that no trial of ours waits for others of its cohort."""

Trace = list[tuple[float, float]]
"""Each value that was better than all before, of any trial at any epoch, and the epochs of budget spent by then."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What every method has."""

    num_epochs: int
    """Budget: virtual time, in epochs, times workers; a worker that waits spends it too."""
    num_workers: int

    @property
    def seconds(self) -> float:
        """Virtual time until the budget is spent."""
        return self.num_epochs * EPOCH_S / self.num_workers

    def spent(self, at_s: float) -> float:
        """Epochs of budget."""
        return at_s / EPOCH_S * self.num_workers


class Method(Protocol):
    """A way to search."""

    def run(self, task: SearchTask, limits: Limits, seed: int) -> Trace:
        """Search until the budget is spent."""


@dataclass(frozen=True, kw_only=True)
class Ours:
    """The whole product, with these sections of a sweep file: sampler and scheduler."""

    sections: JsonTree

    def run(self, task: SearchTask, limits: Limits, seed: int) -> Trace:
        budget = Budget(trials=limits.num_epochs, minutes=limits.seconds / 60)
        tree = {name: value for name, value in task.as_tree().items() if name in ("curves", "space", "epochs")} | {
            "budget": budget.as_tree(),
            "num_slots": limits.num_workers,
            "epoch_s": EPOCH_S,
            "seed": seed,
        }
        simulation = Simulation.model_validate_json(json.dumps(tree | self.sections))
        with tempfile.TemporaryDirectory() as folder:
            return _trace(simulate(simulation, Path(folder)).history, limits)


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A program of `search_peers`, in a Python of its own."""

    program: Path
    variant: str
    python: str = sys.executable

    def missing(self) -> str | None:
        """Why it cannot run here, in a line; none if it can."""
        done = subprocess.run(self._command, input="", capture_output=True, text=True, check=False)
        return None if done.returncode == 0 else done.stderr.strip().rpartition("\n")[2]

    def run(self, task: SearchTask, limits: Limits, seed: int) -> Trace:
        with tempfile.TemporaryDirectory() as folder, (Path(folder) / "errors").open("w+", encoding="utf-8") as errors:
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
            with subprocess.Popen(self._command, cwd=folder, text=True, **pipes) as process:
                try:
                    history = _Conversation(process, task, self.variant, limits, seed).hold()
                except (BrokenPipeError, json.JSONDecodeError):  # it has died
                    process.wait()
                    errors.seek(0)
                    raise RuntimeError(f"{self.program.name} {self.variant} on {task.name}: {errors.read()}") from None
        return _trace(history, limits)

    @property
    def _command(self) -> list[str]:
        return [self.python, str(self.program)]


class _Conversation:
    """Hands the jobs of a peer to the workers as segments of one trial, and tells it what they measure."""

    def __init__(
        self, process: "subprocess.Popen[str]", task: SearchTask, variant: str, limits: Limits, seed: int
    ) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._to_peer, self._from_peer = process.stdin, process.stdout
        self._limits = limits
        curves = task.curves.load(METRIC)
        curve_of = lru_cache(1024)(lambda recipe: curves.curve(json.loads(recipe)))
        self._executor = SimulatedExecutor(
            lambda spec: curve_of(spec.recipe), num_slots=limits.num_workers, epoch_s=EPOCH_S
        )
        self._begin = PeerTask(
            variant=variant,
            space=task.as_tree()["space"],
            num_epochs=task.epochs,
            num_workers=limits.num_workers,
            seed=seed,
        )
        self._epochs: dict[int, int] = {}
        self._num_running = 0
        self._history: list[Measured] = []

    def hold(self) -> list[Measured]:
        """Every report, in order."""
        self._say({"begin": asdict(self._begin)})
        self._executor.run(self._next_segment, self._on_report, self._on_segment_end)
        self._to_peer.close()
        return self._history

    def _next_segment(self) -> Segment | Idle:
        idle = Idle.WAIT if self._num_running else Idle.DONE
        if self._executor.clock() >= self._limits.seconds:
            return idle
        self._say({"ask": True})
        answer = json.loads(self._from_peer.readline())
        if answer is None:
            assert self._num_running, "a peer must have a job where nothing runs"
            return idle
        self._num_running += 1
        job = Job(**answer)
        return Segment(
            segment_id=job.trial_id,
            cohort=(TrialSpec(trial_id=job.trial_id, recipe=json.dumps(job.params)),),
            from_epoch=self._epochs.get(job.trial_id, 0),
            to_epoch=job.to_epoch,
            seed=0,
        )

    def _on_report(self, report: Report) -> None:
        self._history.append(Measured(at_s=self._executor.clock(), report=report))
        self._epochs[report.trial_id] = report.epoch
        self._say({"tell": [report.trial_id, report.epoch, -report.metrics[METRIC]]})

    def _on_segment_end(self, end: SegmentEnd) -> None:
        self._num_running -= 1
        for failure in end.failures:
            raise RuntimeError(failure.traceback)

    def _say(self, message: JsonTree) -> None:
        self._to_peer.write(json.dumps(message) + "\n")
        self._to_peer.flush()


def _trace(history: Iterable[Measured], limits: Limits) -> Trace:
    trace: Trace = []
    for moment in history:
        value = moment.report.metrics.get(METRIC)
        spent = limits.spent(moment.at_s)
        if value is not None and spent <= limits.num_epochs and (not trace or value > trace[-1][1]):
            trace.append((spent, value))
    return trace
