"""The trials of a cohort one after the other, each of which may fail alone."""

import traceback
from collections.abc import Callable, Iterator

from hpo.disk import is_for_want_of_room
from hpo.records import Begun, Failure, Message, Segment, TrialSpec


def one_by_one(segment: Segment, train: Callable[[TrialSpec], Iterator[Message]]) -> Iterator[Message]:
    """What `train` says of each trial; what it raises is that trial's failure, but on a full disk the last of all."""
    for spec in segment.cohort:
        if segment.left_s:
            yield Begun(trial_ids=(spec.trial_id,))
        try:
            yield from train(spec)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a trial raises becomes its record
            failure = _failure(spec, error)
            yield failure
            if failure.is_disk_full:
                return


def _failure(spec: TrialSpec, error: BaseException) -> Failure:
    told = "".join(traceback.format_exception(error))
    return Failure(
        trial_id=spec.trial_id,
        error=" ".join(f"{type(error).__name__}: {error}".split()),
        traceback=told,
        is_disk_full=isinstance(error, Exception) and is_for_want_of_room(error),
    )
