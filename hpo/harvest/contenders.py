"""Who is held against the test split: the ensemble, and what it must be better than."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from hpo.ensembles import Fit, Score, greedy, score, select_and_calibrate, top
from hpo.ensembles import pool as pooled
from hpo.ensembles.crossfit import Select
from hpo.ensembles.kinds import AnyEnsemble, Candidate
from hpo.export.members import Networks
from hpo.harvest.assembly import Assembly
from hpo.harvest.harvest import Harvest
from hpo.harvest.long_run import find_long_run, networks_of
from hpo.harvest.pool import Pool
from hpo.results.finalists import Finalists, winner
from hpo.results.table import find_best
from hpo.training.checkpoint import read_predictions

SIZE = 5
"""Members at most of the baselines, where the ensemble's kind names no size."""
SINGLE_BY_METRIC = "best single, by the metric"
SINGLE_BY_NLL = "best single, by validation NLL"
SINGLE_BY_FINALISTS = "best single, by finalists"
SINGLE_OVER_SEEDS = "best single, over fresh seeds"
DEEP = "deep ensemble of the best"
LONG_RUN = "one run of the same total budget"
UNCALIBRATED = "ensemble, uncalibrated"
ENSEMBLE = "ensemble"
GONE = "not there: its state is gone, or it did not train to the end"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A way to predict with networks of the sweep; or why there is none."""

    name: str
    members: tuple[Candidate, ...] = ()
    weights: tuple[float, ...] = ()
    temperature: float = 1.0
    is_soup: bool = False
    """Whether weights are averaged, instead of predictions."""
    networks: Networks | None = None
    """Where its own are, if they are none that trials of the sweep have left."""
    is_series: bool = False
    """Whether each network stands for itself, and the mean of what they score for all."""
    selected_on: Score | None = None
    """On the validation examples by which it was selected; none where nothing was."""
    validated: Score | None = None
    """On validation examples by which it was not selected; of the best single by the metric, on all."""
    missing: str | None = None
    """Why it is not there."""

    num_more: int = 0
    """Trials that its training beside the search has cost, apart from repetitions."""

    @property
    def num_extra(self) -> int:
        """Trials that were trained beside the search, or what it has cost in trials."""
        return self.num_more + len({member.trial_id for member in self.members if member.repeats is not None})


def contenders(harvest: Harvest, assembly: Assembly) -> list[Contender]:
    """Always the same, also those that are not there; the ensemble last, without its temperature and with it."""
    sweep, everyone = harvest.sweep, harvest.pool()
    searched = everyone.where(lambda each: each.repeats is None)
    kin = _kin(harvest, everyone)
    again = kin.where(lambda each: each.repeats is not None)
    size = size_of(assembly.kind)
    select = partial(_selected, searched, sweep.seed)
    return [
        *_singles(harvest, searched, kin.where(lambda each: each.repeats is None)),
        select(SINGLE_BY_NLL, partial(top, size=1)),
        _series(SINGLE_OVER_SEEDS, again, _no_finalists(harvest)),
        select(f"top {size}, uniform", partial(top, size=size)),
        _uniform(DEEP, kin if again.candidates else again, f"not trained: ensemble {{kind: deep, size: {size}}}"),
        _long_run(harvest, size),
        *(select(f"greedy path, at most {num}", partial(greedy, size=num, min_gain=0)) for num in range(1, size + 1)),
        replace(_ensemble(assembly), name=UNCALIBRATED, temperature=1.0),
        replace(_ensemble(assembly), selected_on=None, validated=_calibrated(assembly.fit)),
    ]


def size_of(kind: AnyEnsemble) -> int:
    """Members at most of an ensemble, and of the baselines that it is held against."""
    return getattr(kind, "size", SIZE)


def _long_run(harvest: Harvest, size: int) -> Contender:
    epochs = size * harvest.sweep.epochs
    run = find_long_run(harvest, epochs)
    if run is None:
        return Contender(name=LONG_RUN, missing=f"not trained: the best recipe for {epochs} epochs (--train)")
    if run.state is None:
        return Contender(name=LONG_RUN, missing=f"the best recipe for {epochs} epochs has {run.why}")
    weights = harvest.sweep.export.weights
    said = read_predictions(run.state)
    epoch = max(epoch for epoch, name in said if name == weights)
    return Contender(
        name=LONG_RUN,
        members=(Candidate(trial_id=run.trial_id, epoch=epoch, weights=weights),),
        weights=(1.0,),
        networks=networks_of(run, harvest),
        num_more=size,
        validated=score(said[epoch, weights], harvest.splits.validation.y),
    )


def _kin(harvest: Harvest, everyone: Pool) -> Pool:
    """What the best trial of the search, and its repetitions, have come to, in the weights that are exported."""
    best = find_best(harvest.trials, harvest.sweep.metric.goal)
    assert best is not None, "there is an ensemble"
    return everyone.where(lambda each: best.trial_id in (each.trial_id, each.repeats) and _is_end(harvest, each))


def _singles(harvest: Harvest, searched: Pool, own: Pool) -> Iterator[Contender]:
    """By the metric; and whom finalists have chosen."""
    by_metric = _uniform(SINGLE_BY_METRIC, own, GONE)
    yield replace(by_metric, selected_on=by_metric.validated)
    sweep = harvest.sweep
    chosen = winner(sweep.finalists, harvest.trials, sweep.metric.goal)
    champion = searched.where(lambda each: chosen is not None and each.trial_id == chosen.trial_id)
    ended = champion.where(lambda each: _is_end(harvest, each))
    yield _uniform(SINGLE_BY_FINALISTS, ended, _no_finalists(harvest) if chosen is None else GONE)


def _is_end(harvest: Harvest, candidate: Candidate) -> bool:
    return candidate.is_last and candidate.weights == harvest.sweep.export.weights


def _no_finalists(harvest: Harvest) -> str:
    asked = harvest.sweep.finalists or Finalists()
    return f"not trained: finalists {{count: {asked.count}, seeds: {asked.seeds}}}"


def _uniform(name: str, pool: Pool, missing: str) -> Contender:
    """All of a pool with the same weight, or why there is nobody."""
    if not pool.candidates:
        return Contender(name=name, missing=missing)
    weights = np.full(len(pool.candidates), 1 / len(pool.candidates))
    own = score(pooled(pool.log_probs, weights), pool.labels)
    return Contender(name=name, members=pool.candidates, weights=tuple(weights.tolist()), validated=own)


def _series(name: str, pool: Pool, missing: str) -> Contender:
    """Each of a pool by itself; of one alone nothing can be told."""
    if len(pool.candidates) < 2:
        return Contender(name=name, missing=missing)
    each = [score(log_probs, pool.labels) for log_probs in pool.log_probs]
    means = {key: float(np.mean([getattr(own, key) for own in each])) for key in ("nll", "accuracy")}
    mean = Score(**means, num_examples=len(pool.labels))
    return replace(_uniform(name, pool, missing), is_series=True, validated=mean)


def _selected(pool: Pool, seed: int, name: str, select: Select) -> Contender:
    if not pool.candidates:
        return Contender(name=name, missing=GONE)
    fit = select_and_calibrate(pool.log_probs, pool.labels, select, seed)
    chosen = fit.selection.members
    return Contender(
        name=name,
        members=tuple(pool.candidates[row] for row in chosen),
        weights=tuple(fit.selection.weights[chosen].tolist()),
        selected_on=fit.selected_on,
        validated=fit.held_out,
    )


def _ensemble(assembly: Assembly) -> Contender:
    return Contender(
        name=ENSEMBLE,
        members=assembly.members,
        weights=assembly.weights,
        temperature=assembly.temperature,
        is_soup=assembly.is_soup,
        selected_on=assembly.fit.selected_on,
        validated=assembly.fit.held_out,
    )


def _calibrated(fit: Fit) -> Score:
    """Held out from the selection and, unless the temperature is 1, from temperatures fitted to other examples."""
    is_kept = fit.calibration.temperature != 1
    return replace(fit.held_out, nll=fit.calibration.nll_after if is_kept else fit.held_out.nll)
