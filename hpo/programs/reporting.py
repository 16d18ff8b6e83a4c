"""From what a user's own training says to what the driver is told."""

from hpo.paths import SweepPaths
from hpo.programs.state import write_state
from hpo.programs.trial import Told
from hpo.records import Report, Segment, TrialSpec


def report_of(told: Told, spec: TrialSpec, segment: Segment, paths: SweepPaths, seconds: float) -> Report:
    """After the state is on disk, if there must be one; an epoch is the step of a trial that has diverged."""
    if not told.is_finite:
        metrics = {"seconds": seconds}
        return Report(trial_id=spec.trial_id, epoch=told.epoch, metrics=metrics, first_bad_step=told.epoch)
    file = None
    if told.epoch == segment.to_epoch and told.state is not None:
        file = paths.checkpoint(spec.trial_id, told.epoch, segment.generation, segment.attempt, suffix="tar")
        write_state(file, told.state)
    metrics = {**told.metrics, "seconds": seconds}
    return Report(trial_id=spec.trial_id, epoch=told.epoch, metrics=metrics, checkpoint=file)
