"""The networks that the trials of a sweep have left, and what they say of the validation examples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hpo.ensembles.arrays import Labels, LogProbs
from hpo.ensembles.kinds import Candidate
from hpo.errors import EnsembleError
from hpo.files import size_of
from hpo.records import EndKind, TrialRecord
from hpo.training.checkpoint import read_predictions


@dataclass(frozen=True)
class Pool:
    """Candidates in a fixed order: by trial, then by epoch; an average follows the weights it is of."""

    candidates: tuple[Candidate, ...]
    log_probs: LogProbs
    """[M, n, C] float16."""
    labels: Labels
    """[n]."""

    def where(self, admits: Callable[[Candidate], bool]) -> "Pool":
        """Those of them that are admitted."""
        rows = [row for row, candidate in enumerate(self.candidates) if admits(candidate)]
        return Pool(tuple(self.candidates[row] for row in rows), self.log_probs[rows], self.labels)


def read_pool(trials: Sequence[TrialRecord], labels: Labels, num_classes: int, *, stopped: bool = False) -> Pool:
    """Everything that a trial predicted which went to the end, and whose state is still there.

    Args:
        trials: of the sweep, repetitions among them.
        labels: of the validation examples [n].
        num_classes: C.
        stopped: whether trials count that were stopped early.

    Raises:
        EnsembleError: if a trial was measured on other examples.
        HpoError: if a state is damaged.
    """
    kinds = {EndKind.COMPLETE, EndKind.STOPPED} if stopped else {EndKind.COMPLETE}
    candidates, predicted = [], []
    for trial in trials:
        if trial.end is None or trial.end.kind not in kinds or trial.kept is None or trial.checkpoint is None:
            continue
        if size_of(trial.checkpoint) is None:  # dropped to keep within storage.keep
            continue
        found = read_predictions(trial.checkpoint)
        last = trial.kept.best_epoch or trial.kept.epoch
        for (epoch, weights), log_probs in sorted(found.items(), key=lambda item: (item[0][0], item[0][1] != "raw")):
            if log_probs.shape != (len(labels), num_classes):
                raise EnsembleError(
                    f"Members must predict the same {len(labels)} examples of {num_classes} classes, but trial "
                    f"{trial.trial_id} has predicted {list(log_probs.shape)}. Were the data changed? Put them back."
                )
            candidates.append(
                Candidate(
                    trial_id=trial.trial_id,
                    epoch=epoch,
                    weights="raw" if weights == "raw" else "averaged",
                    repeats=trial.repeats,
                    is_last=epoch == last,
                )
            )
            predicted.append(log_probs)
    empty = np.empty((0, len(labels), num_classes), np.float16)
    return Pool(tuple(candidates), np.stack(predicted) if predicted else empty, labels)
