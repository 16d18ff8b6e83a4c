"""The time that proposals take, by sampler and by how many trials the study holds."""

import math
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hpo.records import End, EndKind, Goal, Params, Report, TrialRecord
from hpo.search.proposer import Proposer
from hpo.search.samplers import Random, Sampler
from hpo.search.study import Study
from hpo.search.terms import Search
from hpo.spaces import parse_space

SPACE = parse_space(
    {
        "optimizer.lr": "loguniform(1e-4, 1)",
        "optimizer.weight_decay": "loguniform(1e-6, 1e-2)",
        "optimizer.momentum": "uniform(0, 0.99)",
        "model.dropout": "uniform(0, 0.6)",
        "loss.label_smoothing": "uniform(0, 0.2)",
        "schedule.warmup": "quniform(0, 0.3, 0.05)",
        "model.depth": "randint(1, 5)",
        "model.activation": "choice(relu, gelu, tanh)",
    }
)
RUNGS = (1, 3, 9, 27)
MOST_STABLE_LR = 0.3
SHARE_FAILED = 0.02
NUM_PROPOSALS = 64


@dataclass
class Seconds:
    """What something took, at its fastest."""

    wall: float = math.inf
    processor: float = math.inf

    @contextmanager
    def timed(self) -> Iterator[None]:
        wall, processor = time.perf_counter(), time.process_time()
        yield
        self.wall = min(self.wall, time.perf_counter() - wall)
        self.processor = min(self.processor, time.process_time() - processor)


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Of one sampler with one study."""

    load: Seconds = field(default_factory=Seconds)
    """The study, ready to propose."""
    study: Seconds = field(default_factory=Seconds)
    """`NUM_PROPOSALS`, each written down."""
    alone: Seconds = field(default_factory=Seconds)
    """As many by a search in memory that was shown the same trials."""
    first: Seconds = field(default_factory=Seconds)
    """The first of these, which learns from the trials."""


def make_studies(folder: Path, sizes: Sequence[int]) -> Iterator[tuple[int, Path]]:
    """Folders with studies of as many trials, drawn at random; a larger one goes on where a smaller one ended."""
    growing = folder / "growing"
    growing.mkdir()
    for size in sorted(sizes):
        with open_study(growing, Random()) as study:
            for trial in study.ask(size - len(study.trials())):
                finish(study, trial)
        yield size, Path(shutil.copytree(growing, folder / str(size)))


def measure(sampler: Sampler, folder: Path, num_repeats: int) -> Costs:
    """Of proposals after the trials of the study in `folder`, which stays as it is."""
    costs = Costs()
    for _ in range(num_repeats):
        with tempfile.TemporaryDirectory() as copy:
            shutil.copytree(folder, copy, dirs_exist_ok=True)
            with costs.load.timed():
                study = open_study(Path(copy), sampler)
            with study:
                trials = study.trials()
                with costs.study.timed():
                    study.ask(NUM_PROPOSALS)
        proposer = shown(sampler, trials)
        with costs.alone.timed():
            with costs.first.timed():
                proposer.propose({})
            for _ in range(NUM_PROPOSALS - 1):
                proposer.propose({})
    return costs


def open_study(folder: Path, sampler: Sampler) -> Study:
    return Study.open(folder / "study.db", search_by(sampler))


def search_by(sampler: Sampler) -> Search:
    return Search(space=SPACE, metric="val_loss", goal=Goal.MINIMIZE, max_epochs=27, sampler=sampler, seed=0)


def finish(study: Study, trial: TrialRecord) -> None:
    """As trials of a sweep with early stopping end: two thirds stop at each rung, some diverge and a few fail."""
    generator = np.random.default_rng(trial.trial_id)
    if generator.random() < SHARE_FAILED:
        study.tell(trial.trial_id, End(kind=EndKind.FAILED, epoch=0, reason={"error": "OSError: no space left"}))
        return
    if number_at("optimizer.lr", trial.params) > MOST_STABLE_LR:
        study.tell(trial.trial_id, End(kind=EndKind.DIVERGED, epoch=1, reason={"first_bad_step": 7}))
        return
    last = min(int(-math.log(generator.random(), 3)), len(RUNGS) - 1)
    values = {rung: loss(trial.params, rung) + 0.02 * generator.standard_normal() for rung in RUNGS[: last + 1]}
    for rung, value in values.items():
        study.record(Report(trial_id=trial.trial_id, epoch=rung, metrics={"val_loss": value}))
    kind = EndKind.COMPLETE if RUNGS[last] == RUNGS[-1] else EndKind.STOPPED
    study.tell(trial.trial_id, End(kind=kind, epoch=RUNGS[last], value=values[RUNGS[last]]))


def loss(params: Params, epoch: int) -> float:
    """Least at a learning rate of 0.03, a momentum of 0.9 and a dropout of 0.2."""
    gaps: Mapping[str, float] = {
        "lr": (math.log10(number_at("optimizer.lr", params)) + 1.5) / 2,
        "momentum": number_at("optimizer.momentum", params) - 0.9,
        "dropout": number_at("model.dropout", params) - 0.2,
    }
    return sum(gap**2 for gap in gaps.values()) + 0.3 / epoch


def number_at(name: str, params: Params) -> float:
    number = params[name]
    assert isinstance(number, float)
    return number


def shown(sampler: Sampler, trials: Sequence[TrialRecord]) -> Proposer:
    """A search that knows the trials; their values are plain numbers and words, and stand for themselves."""
    proposer = sampler.begin(search_by(sampler).problem)
    for trial in trials:
        assert trial.end is not None
        proposer.add({name: value for name, value in trial.params.items() if not isinstance(value, tuple)})
        for epoch, value in trial.values.items():
            proposer.report(trial.trial_id, epoch, value)
        proposer.end(trial.trial_id, trial.values, trial.end)
    return proposer
