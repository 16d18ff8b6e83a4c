"""What Ray Tune does not look after: workers that hang, and a sweep that is interrupted."""

from collections.abc import Callable, Sequence

import ray
from ray.tune import Callback
from ray.tune.experiment import Trial

from hpo.execution.searcher import SegmentSearcher


class InterruptedRunError(Exception):
    """Ends Tune's loop, which then gives back what it holds of the cluster."""


class Watchman(Callback):
    """Makes his round after every step of Tune's loop, ten a second or more, also when no worker says anything."""

    def __init__(self, searcher: SegmentSearcher, is_interrupted: Callable[[], bool]) -> None:
        self._searcher = searcher
        self._is_interrupted = is_interrupted
        self._live: dict[str, Trial] = {}

    def __getstate__(self) -> dict[str, object]:
        """Nothing of the driver: see `SegmentSearcher`."""
        return {}

    def on_trial_start(self, iteration: int, trials: Sequence[Trial], trial: Trial, **_: object) -> None:
        """A worker has got what was suggested."""
        self._live[trial.trial_id] = trial
        self._searcher.begin(trial.trial_id)

    def on_trial_complete(self, iteration: int, trials: Sequence[Trial], trial: Trial, **_: object) -> None:
        """A worker is through."""
        self._live.pop(trial.trial_id, None)

    def on_trial_error(self, iteration: int, trials: Sequence[Trial], trial: Trial, **_: object) -> None:
        """A worker is gone."""
        self._live.pop(trial.trial_id, None)

    def on_step_end(self, iteration: int, trials: Sequence[Trial], **_: object) -> None:
        """End workers that hang and, when interrupted, all of them: nobody hears any more what they would say.

        Raises:
            InterruptedRunError: in the latter case.
        """
        if self._is_interrupted():
            for trial in self._live.values():
                _end_worker(trial)
            raise InterruptedRunError
        for trial_id in self._searcher.find_hung():
            _end_worker(self._live[trial_id])


def _end_worker(trial: Trial) -> None:
    """Tune finds it dead at its next step."""
    actor = trial.temporary_state.ray_actor
    if actor is not None:
        ray.kill(actor)
