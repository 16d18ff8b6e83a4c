"""What a sweep came to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpo.disk import is_for_want_of_room
from hpo.errors import BundleError, HpoError, TrialsFailedError
from hpo.harvest.assembly import Assembly
from hpo.paths import SweepPaths
from hpo.records import EndKind, TrialRecord
from hpo.results.finalists import Finalist
from hpo.results.rungs import Rung
from hpo.spaces import Space
from hpo.sweep import AnySweep
from hpo.tracking.tracker import SweepStatus


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """What a sweep came to."""

    paths: SweepPaths
    trials: Sequence[TrialRecord]
    """All of them, repetitions too."""
    best: TrialRecord | None
    """The finalist that is chosen, where there are finalists; else the best of the search, by the first metric where
    there are several. None if no trial was ever measured.
    """
    space: Space
    """What was searched: with the bounds that a learning-rate range test has proposed, where there was one."""
    ends: Mapping[EndKind, int]
    rungs: Sequence[Rung]
    """What was decided at each, and how right that was."""
    num_epochs: int
    mean_lanes: float
    """Trials that trained side by side, on average."""
    elapsed_s: float
    status: SweepStatus
    front: Sequence[TrialRecord] = ()
    """With several metrics, the complete trials that no other beats in all of them."""
    finalists: Sequence[Finalist] = ()
    """How they did on fresh luck, the best mean first; none where the file asks for none."""
    why: tuple[str, ...] = ()
    """What was chosen where the file leaves sampler or scheduler open, and why."""
    bundle: Path | None = None
    """The best model, exported."""
    ensemble: Assembly | None = None
    """Of what the trials have left; none where the file asks for none, or there is too little."""
    untracked: str | None = None
    """What MLflow did not take, and why; none when it shows everything."""


def status_after(error: Exception) -> SweepStatus:
    """How a sweep stands that `error` has ended: it goes on once what a user can mend is mended.

    Trials that failed alike have ended, and a model that cannot be exported stays what it is.
    """
    is_mendable = isinstance(error, HpoError) and not isinstance(error, TrialsFailedError | BundleError)
    return SweepStatus.PAUSED if is_mendable or is_for_want_of_room(error) else SweepStatus.FAILED


def summarize(sweep: AnySweep, result: SweepResult) -> dict[str, float | int | str]:
    """In a few numbers."""
    summary: dict[str, float | int | str] = {f"num_{kind}": num for kind, num in result.ends.items()}
    summary["num_epochs"] = result.num_epochs
    summary["mean_lanes"] = result.mean_lanes
    if result.best is not None and result.best.end is not None and result.best.end.value is not None:
        summary[f"best_{sweep.metric.name}"] = result.best.end.value
        summary["best_trial"] = result.best.trial_id
    if result.ensemble is not None:
        summary |= numbers_of(result.ensemble)
    return summary


def numbers_of(ensemble: Assembly) -> dict[str, float]:
    """An ensemble beside the best single network, both on examples that did not select them."""
    held_out, single = ensemble.fit.held_out, ensemble.single_held_out
    return {
        "ensemble_val_nll": held_out.nll,
        "ensemble_val_accuracy": held_out.accuracy,
        "ensemble_num_members": len(ensemble.members),
        "best_single_val_nll": single.nll,
        "best_single_val_accuracy": single.accuracy,
    }
