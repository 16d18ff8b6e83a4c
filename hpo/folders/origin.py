"""Where an exported model comes from, as its card says."""

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import JsonValue

from hpo.paths import SweepPaths, written_beside
from hpo.records import TrialRecord
from hpo.results.lineage import lineage, lineage_json
from hpo.search.reading import read_trials
from hpo.sweep import Sweep
from hpo.training.bundles.card import portable_tree, read_card
from hpo.training.initializers import Pretrained
from hpo.training.losses import Distillation
from hpo.training.recipe import Recipe


def write_parents(path: Path, recipe: Recipe) -> None:
    """Remember which bundles the trials of a sweep are about to read, for they may be replaced; no file without any.

    Raises:
        BundleError: if one cannot be read.
    """
    parents = {name: _described(bundle) for name, bundle in _parents(recipe)}
    if parents:
        with written_beside(path) as beside:
            beside.write_text(json.dumps(parents, indent=2) + "\n", encoding="utf-8")


def origin(sweep: Sweep, paths: SweepPaths, trial: TrialRecord, recipe: Recipe) -> dict[str, JsonValue]:
    """The sweep, its data, what the trial was taught by or began from, and its ancestors, if it has any.

    Args:
        sweep: the trial's.
        paths: the sweep's.
        trial: of the study.
        recipe: the trial's, which says which bundles it read.
    """
    names = [name for name, _ in _parents(recipe)]
    parents = json.loads(paths.parents.read_text(encoding="utf-8")) if names else {}
    return {
        "sweep": paths.sweep_id,
        "metric": sweep.metric.name,
        "data": portable_tree(sweep.data),
        **{name: parents[name] for name in names},
        **({} if trial.parent is None else {"lineage": _ancestors(sweep, paths, trial)}),
    }


def _ancestors(sweep: Sweep, paths: SweepPaths, trial: TrialRecord) -> list[JsonValue]:
    """Who trained which epochs with which params, the trial itself last."""
    return [*lineage_json(lineage(trial, read_trials(sweep.storage.place(paths), sweep.space)))]


def _parents(recipe: Recipe) -> Iterator[tuple[str, Path]]:
    if isinstance(recipe.loss, Distillation):
        yield "teacher", recipe.loss.teacher
    if isinstance(recipe.initializer, Pretrained):
        yield "pretrained", recipe.initializer.bundle


def _described(bundle: Path) -> dict[str, JsonValue]:
    card = read_card(bundle)
    remembered = card.model_extra or {}
    return {
        "bundle": bundle.name,
        "sha256": card.model.sha256,
        **{name: remembered.get(name) for name in ("trial", "sweep")},
    }
