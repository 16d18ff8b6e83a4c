"""What is taken from a sweep: the winner, repetitions of the best, and the ensemble of what all trials have left."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import JsonValue

from hpo.config import JsonTree
from hpo.ensembles.kinds import AnyEnsemble, Greedy
from hpo.errors import EnsembleError
from hpo.export.bundle import write_ensemble
from hpo.export.members import Networks
from hpo.export.trial import export_trial
from hpo.folders.origin import origin
from hpo.harvest.assembly import Assembly, assemble, described, read_left
from hpo.harvest.pool import Pool, read_pool
from hpo.harvest.repeats import Repeat
from hpo.paths import SweepPaths, written_beside
from hpo.records import TrialRecord
from hpo.results.finalists import winner
from hpo.results.table import find_best
from hpo.sweep import Export, Sweep
from hpo.sweep.wording import listed
from hpo.training.bundles.card import portable_tree
from hpo.training.data import Splits
from hpo.training.recipe import with_params

RunId = Callable[[int], str | None]
"""Of a trial, in MLflow; none where it is not shown."""
NOWHERE: RunId = lambda _: None  # noqa: E731 - of any trial, where MLflow is not asked


@dataclass(frozen=True)
class Harvest:
    """Of the trials of a sweep as they stand."""

    sweep: Sweep
    paths: SweepPaths
    splits: Splits
    trials: Sequence[TrialRecord]
    """Repetitions among them."""

    @property
    def best(self) -> TrialRecord | None:
        """The finalist that is chosen, where there are finalists; else the best of the search."""
        goal = self.sweep.metric.goal
        return winner(self.sweep.finalists, self.trials, goal) or find_best(self.trials, goal)

    def repeats(self) -> list[Repeat]:
        """All that finalists and the ensemble ask for, whether or not they have been trained."""
        wanted = []
        if self.sweep.finalists is not None:
            seeds = range(1, self.sweep.finalists.seeds + 1)
            finalists = self.sweep.finalists.of(self.trials, self.sweep.metric.goal)
            wanted += [(trial.trial_id, seed_index) for seed_index in seeds for trial in finalists]
        if self.sweep.ensemble is not None:
            wanted += self._asked_by(self.sweep.ensemble)
        return [Repeat(trial_id=trial_id, seed_index=seed_index) for trial_id, seed_index in dict.fromkeys(wanted)]

    @property
    def kind(self) -> AnyEnsemble:
        """Of the ensemble that was left with the sweep; else as its file says, or greedy.

        Raises:
            EnsembleError: if what was left is damaged.
        """
        left = read_left(self.paths.ensemble)
        return self.sweep.ensemble or Greedy() if left is None else left.ensemble

    def refuse_untrained(self, kind: AnyEnsemble) -> None:
        """See that whatever an ensemble asks for has been trained.

        Raises:
            EnsembleError: if not.
        """
        ended = {(trial.repeats, trial.seed_index) for trial in self.trials if trial.end is not None}
        asked = self._asked_by(kind)
        missing = [repeat for repeat in asked if repeat not in ended]
        if missing:
            trials = listed([f"trial {trial_id}" for trial_id in dict.fromkeys(trial_id for trial_id, _ in missing)])
            raise EnsembleError(
                f"ensemble.kind {kind.kind}: {len(asked)} repetitions must have been trained, but {len(missing)} of "
                f"{trials} have not. Train them with --train, or ask for another kind or size."
            )

    def assemble(self, kind: AnyEnsemble) -> Assembly:
        """An ensemble of what there is.

        Raises:
            EnsembleError: see `hpo.harvest.assembly.assemble`.
            HpoError: if a state is damaged.
        """
        best = self.best
        if best is None:
            raise EnsembleError("An ensemble needs a trial that was measured, but there is none. Give the sweep more.")
        return assemble(kind, self.pool(stopped=kind.stopped), best.trial_id, self.sweep.seed, self.networks)

    def export_trial(
        self, folder: Path, trial: TrialRecord, run_id: RunId = NOWHERE, asked: Export | None = None
    ) -> Path:
        """Write the model of one trial as a bundle, as it is asked for or else as the sweep says.

        Raises:
            BundleError: see `hpo.export.trial.export_trial`.
        """
        asked = asked or self.sweep.export
        recipe = with_params(self.sweep.recipe, trial.params)
        whence = {**origin(self.sweep, self.paths, trial, recipe), "mlflow_run": run_id(trial.trial_id)}
        return export_trial(
            folder, trial, recipe, self.splits, whence, asked.inference, asked.weights, formats=asked.formats
        )

    def export_ensemble(
        self, folder: Path, assembly: Assembly, run_id: RunId = NOWHERE, asked: Export | None = None
    ) -> Path:
        """Write an ensemble as a bundle; its card names every member's trial, run and share.

        Raises:
            BundleError: see `hpo.export.bundle.write_ensemble`; or if the data do not suit how it is to predict.
        """
        asked = asked or self.sweep.export
        asked.inference.refuse_misfits(self.splits.input_shape)
        runs = [{"mlflow_run": run_id(member.trial_id)} for member in assembly.members]
        tree = self.describe(assembly)
        card: dict[str, JsonValue] = {
            **tree,
            "members": [{**member, **run} for member, run in zip(tree["members"], runs, strict=True)],
            "sweep": self.paths.sweep_id,
            "metric": self.sweep.metric.name,
            "data": portable_tree(self.sweep.data),
        }
        return write_ensemble(
            folder,
            members=self.networks.members(
                assembly.members, assembly.weights, asked.inference, is_soup=assembly.is_soup
            ),
            temperature=assembly.temperature,
            input_shape=self.splits.raw_shape,
            num_classes=self.splits.num_classes,
            card=card,
            formats=asked.formats,
        )

    def describe(self, assembly: Assembly) -> JsonTree:
        """All of an ensemble, with the digest of the data that its members have in common."""
        return {**described(assembly, self.splits.validation.y), "data_digest": self.splits.digest}

    def write(self, assembly: Assembly, sizes: Sequence[JsonTree] = ()) -> Path:
        """Leave it with the sweep, with what each size costs and is worth, where that was measured."""
        told = {**self.describe(assembly), "sizes": list(sizes)}
        with written_beside(self.paths.ensemble) as beside:
            beside.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        return self.paths.ensemble

    def shares(self, assembly: Assembly) -> dict[int, float]:
        """What each trial's networks weigh in an ensemble together: 0 of those in the one that was left before."""
        before = read_left(self.paths.ensemble)
        shares = {} if before is None else {member.trial_id: 0.0 for member in before.members}
        for member, weight in zip(assembly.members, assembly.weights, strict=True):
            shares[member.trial_id] = shares.get(member.trial_id, 0.0) + weight
        return shares

    def pool(self, *, stopped: bool = False) -> Pool:
        """All networks that are there; see `read_pool`."""
        return read_pool(self.trials, self.splits.validation.y, self.splits.num_classes, stopped=stopped)

    @cached_property
    def networks(self) -> Networks:
        """What trials have left on disk."""
        trials = {trial.trial_id: trial for trial in self.trials}
        return Networks(
            splits=self.splits,
            recipe=lambda trial_id: with_params(self.sweep.recipe, trials[trial_id].params),
            checkpoint=lambda trial_id: str(trials[trial_id].checkpoint),
        )

    def _asked_by(self, kind: AnyEnsemble) -> list[tuple[int, int]]:
        """Repetitions that an ensemble asks for, by the trials of the search alone."""
        best = find_best(self.trials, self.sweep.metric.goal)
        if best is None:
            return []
        asked = kind.repeats(best.trial_id, [])
        if asked or not kind.repeats(best.trial_id, [best.trial_id]):  # whatever it would pick
            return asked
        pool = self.pool(stopped=kind.stopped).where(lambda candidate: candidate.repeats is None)
        picks = kind(pool.log_probs, pool.labels).members if pool.candidates else []
        return kind.repeats(best.trial_id, list(dict.fromkeys(pool.candidates[row].trial_id for row in picks)))
